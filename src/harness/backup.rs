//! What of a journal is also in the bucket, so that a machine that is lost takes few answers along.

use super::error::HarnessError;
use crate::store::Segments;

/// Answers of a run after which they go to the bucket: the most that a lost machine costs, beside the questions that were
/// under way.
pub(super) const AT_MOST: usize = 16;

/// Lines on their way to the bucket.
#[derive(Debug)]
pub(super) struct Backup {
    segments: Segments,
    waiting: Vec<u8>,
    answers: usize,
}

impl Backup {
    /// A backup that lacks these lines of the journal.
    pub(super) fn new(segments: Segments, waiting: Vec<u8>) -> Self {
        let answers = waiting.iter().filter(|byte| **byte == b'\n').count();
        Self { segments, waiting, answers }
    }

    /// Takes the line of an answer that is on disk.
    pub(super) async fn take(&mut self, line: &[u8]) -> Result<(), HarnessError> {
        self.waiting.extend(line);
        self.answers += 1;
        if self.answers < AT_MOST { Ok(()) } else { self.flush().await }
    }

    /// Sends what waits.
    pub(super) async fn flush(&mut self) -> Result<(), HarnessError> {
        if !self.waiting.is_empty() {
            self.segments.write(&self.waiting).await?;
            self.waiting.clear();
            self.answers = 0;
        }
        Ok(())
    }

    /// Removes what is in the bucket: the run was published.
    pub(super) async fn remove(self) {
        if let Err(error) = self.segments.remove().await {
            tracing::warn!(%error, "segments of a journal are left over");
        }
    }
}
