//! What comes back: operations with their proof, and pinned nodes if they were asked for.

use super::limits::MAX_OPERATION_BYTES;
use super::request::{Kind, Request};
use crate::codec::{self, Decode, Encode, Reader, put_varint};
use crate::digest::Digest;
use crate::log::Operations;
use crate::mmr::proof::{MAX_PINNED, put_digests, read_digests};
use crate::mmr::shape::{Split, peak_count};
use crate::mmr::{Elements, Proof};
use bytes::Bytes;

/// Operations, their proof, and the pinned nodes if asked for. Nothing in it is proven.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// The proof of [`Self::operations`] at the asked start and size.
    pub proof: Proof,
    /// At least one, at most as many as asked for.
    pub operations: Operations,
    /// The pinned nodes at the asked start; present exactly when asked for.
    pub pinned_nodes: Option<Vec<Digest>>,
}

impl Response {
    /// Everything before the operations' bytes, tag included: the operations follow from their own buffer.
    pub(super) fn encode_head(&self, out: &mut Vec<u8>) {
        let digests = self.proof.digests.len() + self.pinned_nodes.as_ref().map_or(0, Vec::len);
        // Most lengths take one byte or two.
        out.reserve(64 + digests * Digest::LEN + 2 * self.operations.len());
        out.push(u8::from(self.pinned_nodes.is_some()));
        self.proof.encode(out);
        if let Some(pinned) = &self.pinned_nodes {
            put_digests(out, pinned);
        }
        put_varint(out, self.operations.len() as u64);
        self.operations
            .iter()
            .for_each(|operation| put_varint(out, operation.len() as u64));
    }

    /// Read what follows the tag, for `request` (ENGINE W29.2). The operations stay where they are in `whole`.
    pub(super) fn decode_body(
        reader: &mut Reader<'_>,
        whole: &Bytes,
        pinned: bool,
        request: &Request,
    ) -> Result<Self, codec::Error> {
        let proof = Proof::decode(reader)?;
        let pinned_nodes = if pinned {
            Some(read_digests(reader, MAX_PINNED)?)
        } else {
            None
        };
        let count = reader.length(request.max_ops() as usize)?;
        let mut ends = Vec::with_capacity(count.min(reader.remaining()));
        let mut end = 0;
        for _ in 0..count {
            end += reader.length(MAX_OPERATION_BYTES - end as usize)? as u32;
            ends.push(end);
        }
        let operations = reader.take(end as usize)?;
        let operations = Operations::new(whole.slice_ref(operations), ends)
            .ok_or(codec::Error::Invalid("an empty operation"))?;
        let response = Self {
            proof,
            operations,
            pinned_nodes,
        };
        response.check(request)?;
        Ok(response)
    }

    /// The checks of PEERS P1 that need no hash: an answer that fails one is a lie.
    ///
    /// # Errors
    /// [`codec::Error::Invalid`], naming what does not fit the request.
    pub fn check(&self, request: &Request) -> Result<(), codec::Error> {
        let count = self.operations.len() as u64;
        let refuse = |what| Err(codec::Error::Invalid(what));
        if self.proof.leaves != request.size() {
            return refuse("a proof for another size than asked");
        }
        if count == 0 || count > request.max_ops() {
            return refuse("no operations, or more than asked");
        }
        let pinned = self.pinned_nodes.as_ref().map(Vec::len);
        let wanted = (request.kind() == Kind::Boundary).then(|| peak_count(request.start()));
        if pinned != wanted {
            return refuse("another number of pinned nodes than the start has");
        }
        let range = request.start()..request.start().saturating_add(count);
        if self.proof.digests.len() != Split::new(request.size(), &range).digests(&range) {
            return refuse("another number of proof digests than the range needs");
        }
        Ok(())
    }
}
