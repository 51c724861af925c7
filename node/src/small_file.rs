//! Small files that are replaced as a whole, so that after a crash there is the old one or the new one.

use std::fs;
use std::io::{self, Read, Write};
use std::path::Path;

/// The bytes of a file that has at most `max` of them; `None` if there is no such file.
///
/// # Errors
/// Of the file system; [`io::ErrorKind::InvalidData`] if there are more.
pub fn read(path: &Path, max: u64) -> io::Result<Option<Vec<u8>>> {
    let file = match fs::File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened?,
    };
    let mut bytes = Vec::new();
    file.take(max.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > max {
        let error = format!("more than {max} bytes");
        return Err(io::Error::new(io::ErrorKind::InvalidData, error));
    }
    Ok(Some(bytes))
}

/// Make `bytes` the content of `path`, durable when this returns.
///
/// # Errors
/// Of the file system; the file is then what it was.
pub fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    file.persist(path).map_err(|error| error.error)?;
    // The name is durable once its folder is. Systems that cannot open a folder sync it in their own time.
    fs::File::open(folder).map_or(Ok(()), |folder| folder.sync_all())
}
