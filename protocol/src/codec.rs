//! Bytes in and out (FORMAT F2). Decoding never panics, and never allocates by a number that it has
//! not held against a limit and against the bytes that are really there.

/// Why bytes were refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The input ended inside a value.
    #[error("the input ends too early")]
    Short,
    /// A varint that is not in its one shortest form, or too large for its type (F2.2).
    #[error("malformed varint")]
    Varint,
    /// A length outside what the reader allows (F2.3).
    #[error("length {got} is above the limit of {max}")]
    Length {
        /// The length that the input claims.
        got: u64,
        /// The most that is allowed here.
        max: u64,
    },
    /// A value outside its domain; the text names it.
    #[error("{0}")]
    Invalid(&'static str),
    /// Bytes were left over behind a whole message (F2.5).
    #[error("{0} bytes left over")]
    Trailing(usize),
}

/// A value with a canonical encoding.
pub trait Encode {
    /// Append the encoding to `out`.
    fn encode(&self, out: &mut Vec<u8>);

    /// The encoding alone.
    fn to_vec(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.encode(&mut out);
        out
    }
}

/// A value that can be read back.
pub trait Decode: Sized {
    /// Take one value from the front of the reader.
    ///
    /// # Errors
    /// What [`Error`] lists; the reader is then of no further use.
    fn decode(reader: &mut Reader<'_>) -> Result<Self, Error>;

    /// Read a whole message: nothing may be left over.
    ///
    /// # Errors
    /// As [`Self::decode`], and [`Error::Trailing`].
    fn from_slice(bytes: &[u8]) -> Result<Self, Error> {
        let mut reader = Reader::new(bytes);
        let value = Self::decode(&mut reader)?;
        reader.finish()?;
        Ok(value)
    }
}

/// Append `value` as a varint: groups of 7 bits, lowest first (F2.2).
pub fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Append a byte string: its length as a varint, then the bytes (F2.5).
pub fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Walks over received bytes.
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Start at the front of `bytes`.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// How many bytes are not read yet.
    pub fn remaining(&self) -> usize {
        self.rest.len()
    }

    /// Take `n` bytes.
    ///
    /// # Errors
    /// [`Error::Short`] if fewer are left.
    pub fn take(&mut self, n: usize) -> Result<&'a [u8], Error> {
        let (taken, rest) = self.rest.split_at_checked(n).ok_or(Error::Short)?;
        self.rest = rest;
        Ok(taken)
    }

    /// Take one byte.
    ///
    /// # Errors
    /// [`Error::Short`] at the end.
    pub fn byte(&mut self) -> Result<u8, Error> {
        self.take(1).map(|taken| taken[0])
    }

    /// Take `N` bytes as an array.
    ///
    /// # Errors
    /// [`Error::Short`] if fewer are left.
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], Error> {
        let (taken, rest) = self.rest.split_first_chunk().ok_or(Error::Short)?;
        self.rest = rest;
        Ok(*taken)
    }

    /// Take a 64-bit varint (F2.2).
    ///
    /// # Errors
    /// [`Error::Varint`] if it is not in its shortest form or too large, [`Error::Short`].
    pub fn varint(&mut self) -> Result<u64, Error> {
        self.varint_of(64)
    }

    /// Take a length: a 32-bit varint of at most `max` (F2.3).
    ///
    /// # Errors
    /// [`Error::Length`] above `max`, else as [`Self::varint`].
    pub fn length(&mut self, max: usize) -> Result<usize, Error> {
        let got = self.varint_of(32)?;
        match usize::try_from(got) {
            Ok(length) if length <= max => Ok(length),
            _ => Err(Error::Length { got, max: max as u64 }),
        }
    }

    /// Take a byte string of at most `max` bytes (F2.5).
    ///
    /// # Errors
    /// As [`Self::length`], and [`Error::Short`].
    pub fn bytes(&mut self, max: usize) -> Result<&'a [u8], Error> {
        let length = self.length(max)?;
        self.take(length)
    }

    /// Take a byte that says no (`00`) or yes (`01`).
    ///
    /// # Errors
    /// [`Error::Invalid`] for another byte.
    pub fn flag(&mut self) -> Result<bool, Error> {
        match self.byte()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(Error::Invalid("a flag is neither 0 nor 1")),
        }
    }

    /// Check that nothing is left.
    ///
    /// # Errors
    /// [`Error::Trailing`] otherwise.
    pub fn finish(self) -> Result<(), Error> {
        match self.rest.len() {
            0 => Ok(()),
            n => Err(Error::Trailing(n)),
        }
    }

    fn varint_of(&mut self, bits: u32) -> Result<u64, Error> {
        let mut value = 0;
        let mut read = 0;
        loop {
            let byte = self.byte()?;
            let left = bits - read;
            let overlong = byte == 0 && read > 0;
            let too_large = left <= 7 && u32::from(byte) >> left != 0;
            if overlong || too_large {
                return Err(Error::Varint);
            }
            value |= u64::from(byte & 0x7f) << read;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
            read += 7;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn varints_have_one_form() {
        // F5: value and its bytes.
        for (value, bytes) in [
            (0, "00"),
            (1, "01"),
            (127, "7f"),
            (128, "8001"),
            (129, "8101"),
            (300, "ac02"),
            (16383, "ff7f"),
            (16384, "808001"),
            (1 << 32, "8080808010"),
            ((1 << 62) - 1, "ffffffffffffffff3f"),
            (1 << 62, "808080808080808040"),
            (u64::MAX, "ffffffffffffffffff01"),
        ] {
            let mut out = Vec::new();
            put_varint(&mut out, value);
            assert_eq!(hex::encode(&out), bytes);
            let mut reader = Reader::new(&out);
            assert_eq!(reader.varint(), Ok(value));
            assert_eq!(reader.finish(), Ok(()));
        }
        // F2.2, F5: malformed.
        for (bytes, error) in [
            ("8000", Error::Varint),
            ("80808080808080808080", Error::Varint),
            ("ffffffffffffffffff02", Error::Varint),
            ("80", Error::Short),
            ("", Error::Short),
        ] {
            assert_eq!(
                Reader::new(&hex::decode(bytes).unwrap()).varint(),
                Err(error),
                "{bytes}"
            );
        }
    }

    #[test]
    fn lengths_are_32_bits_and_bounded_before_use() {
        // F2.3: the fifth byte is at most 0f.
        assert_eq!(
            Reader::new(&[0xff, 0xff, 0xff, 0xff, 0x0f]).length(usize::MAX),
            Ok(u32::MAX as usize)
        );
        assert_eq!(
            Reader::new(&[0xff, 0xff, 0xff, 0xff, 0x1f]).length(usize::MAX),
            Err(Error::Varint)
        );
        assert_eq!(
            Reader::new(&[0xac, 0x02]).bytes(299),
            Err(Error::Length { got: 300, max: 299 })
        );
        assert_eq!(Reader::new(&[0xac, 0x02]).bytes(300), Err(Error::Short));
        assert_eq!(Reader::new(&[0, 0]).finish(), Err(Error::Trailing(2)));
    }
}
