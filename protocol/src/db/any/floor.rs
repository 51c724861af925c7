//! Raising the inactivity floor: the same for unordered and ordered databases (FORMAT F4.5).

use crate::db::draft::Writer;
use crate::db::{Error, Index, Malformed, Operation};
use crate::log::Journal;
use crate::mmr::Location;

/// Move up to `steps` active updates from the floor to the end, and say where the floor is then.
///
/// A moved update of an ordered database keeps its next key: if that had changed, its update was rewritten.
pub(crate) fn raise<J: Journal, I: Index>(
    writer: &mut Writer<'_, J, I>,
    steps: u64,
) -> Result<Location, Error<J::Error>> {
    let tip = writer.next();
    if writer.active() == 0 {
        return Ok(tip);
    }
    let (kind, view) = (writer.kind(), writer.view);
    let mut left = steps;
    let mut floor = view.floor();
    view.scan(floor..view.size(), |at, operation| {
        let read = Operation::read(kind, operation).map_err(|source| Malformed { at, source })?;
        if let Operation::Update { key, .. } = read
            && writer.is_active_at(&key, at)?
        {
            writer.move_up(key, operation);
            left -= 1;
        }
        floor = at.saturating_add(1);
        Ok::<_, Error<J::Error>>(left > 0)
    })?;
    // The scan goes on over what this batch has written itself, up to the tip.
    while left > 0 && floor < tip {
        let written = writer
            .written(floor)
            .map(|operation| Operation::read(kind, operation));
        if let Some(Ok(Operation::Update { key, .. })) = written
            && writer.is_active_at(&key, floor)?
        {
            let copy = writer.written(floor).map(<[u8]>::to_vec).unwrap_or_default();
            writer.move_up(key, &copy);
            left -= 1;
        }
        floor = floor.saturating_add(1);
    }
    Ok(floor)
}
