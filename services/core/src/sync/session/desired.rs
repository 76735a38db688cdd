//! The desired document as it arrives: pages put together, never older than what is held.

use baetyl_proto::sync::v1::Desired;
use baetyl_shadow::{Admission, Digest, Stamp, admit};
use bytes::{Bytes, BytesMut};

use super::{Effect, End, Session};
use crate::store::fence_of;

/// The largest document: names and digests of thousands of applications.
const MAX_DOCUMENT_BYTES: u64 = 16 * 1024 * 1024;

/// The pages of one document so far.
#[derive(Debug)]
pub(super) struct Pages {
    stamp: Stamp,
    total_bytes: u64,
    data: BytesMut,
}

impl Session {
    pub(super) fn desired(&mut self, page: Desired) -> Vec<Effect> {
        let Ok(digest) = page.digest.parse::<Digest>() else {
            return vec![super::protocol_error("a desired document has no digest")];
        };
        let fence = fence_of(page.fence.as_ref());
        let stamp = Stamp { fence, digest };
        let newest = self.taking.or(self.held);
        match admit(newest.as_ref(), &stamp) {
            Admission::Newer => self.page(stamp, page),
            // What is being taken is acknowledged when it is on disk.
            Admission::Same if self.taking.is_some() || !page.end => Vec::new(),
            Admission::Same => {
                let frame = super::Accepted {
                    fence: Some(super::wire_fence(fence)),
                };
                vec![Effect::Send(super::Up::Accepted(frame))]
            }
            Admission::Older => {
                let why = "older than what is held";
                vec![Effect::Refused { stamp, why }]
            }
            Admission::Conflict => {
                let why = "another document with the same fence is held";
                let message = format!("the cloud sent {why}; it must raise the epoch");
                vec![
                    Effect::Refused { stamp, why },
                    Effect::End(End::new("DESIRED_CONFLICT", message)),
                ]
            }
        }
    }

    fn page(&mut self, stamp: Stamp, page: Desired) -> Vec<Effect> {
        let held = self.pages.take().filter(|pages| pages.stamp == stamp);
        let mut pages = held.unwrap_or_else(|| Pages {
            stamp,
            total_bytes: page.total_bytes,
            data: BytesMut::new(),
        });
        let length = (pages.data.len() + page.data.len()) as u64;
        if length > pages.total_bytes || pages.total_bytes > MAX_DOCUMENT_BYTES {
            return vec![super::protocol_error("a desired document is too long")];
        }
        pages.data.extend_from_slice(&page.data);
        if !page.end {
            self.pages = Some(pages);
            return Vec::new();
        }
        let document: Bytes = pages.data.freeze();
        if length != pages.total_bytes || Digest::of(&document) != stamp.digest {
            let message = "a desired document does not have its digest";
            return vec![Effect::End(End::new("DESIRED_DAMAGED", message))];
        }
        self.taking = Some(stamp);
        let traceparent = page.traceparent;
        vec![Effect::Take {
            stamp,
            document,
            traceparent,
        }]
    }

    /// A document that [`Effect::Take`] gave cannot be used; a newer one, or the same in the next
    /// session, is taken as if this had not come.
    pub(crate) fn rejected(&mut self, stamp: Stamp) {
        if self.taking == Some(stamp) {
            self.taking = None;
        }
    }
}
