//! Server-sent events, decoded from whatever pieces the network delivers.
//!
//! Only what llama-server sends is understood: `data:` fields (also `error:`, its older way to report a failure in
//! the stream) and comments, which it sends as keep-alives. Everything is bounded: a peer that never ends a line or
//! an event is an error, not a growing buffer.

use std::mem;

/// Longest event that is accepted, in bytes. A chunk of llama-server has a few hundred.
const MAX_EVENT: usize = 1 << 20;

/// Why the bytes are not an event stream.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum StreamError {
    #[error("an event is longer than {MAX_EVENT} bytes")]
    TooLong,
    #[error("an event is not UTF-8")]
    NotUtf8,
    #[error("not an event stream: a line has no `data:` field")]
    NotEvents,
}

/// Decoder state between two pieces.
#[derive(Debug, Default)]
pub(super) struct Events {
    line: Vec<u8>,
    data: String,
    has_data: bool,
}

impl Events {
    /// Takes the next piece and returns the events that it completes, in order.
    pub(super) fn push(&mut self, piece: &[u8]) -> Result<Vec<String>, StreamError> {
        let mut events = Vec::new();
        let mut rest = piece;
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            self.extend(&rest[..end])?;
            rest = &rest[end + 1..];
            events.extend(self.end_line()?);
        }
        self.extend(rest)?;
        Ok(events)
    }

    fn extend(&mut self, bytes: &[u8]) -> Result<(), StreamError> {
        if self.line.len() + self.data.len() + bytes.len() > MAX_EVENT {
            return Err(StreamError::TooLong);
        }
        self.line.extend_from_slice(bytes);
        Ok(())
    }

    fn end_line(&mut self) -> Result<Option<String>, StreamError> {
        let line = mem::take(&mut self.line);
        let line = str::from_utf8(&line).map_err(|_| StreamError::NotUtf8)?;
        let line = line.strip_suffix('\r').unwrap_or(line);
        if line.is_empty() {
            let event = mem::take(&mut self.data);
            return Ok(mem::take(&mut self.has_data).then_some(event));
        }
        match line.split_once(':') {
            Some(("" | "event" | "id" | "retry", _)) => {}
            Some((field @ ("data" | "error"), value)) => self.field(field, value.strip_prefix(' ').unwrap_or(value)),
            _ => return Err(StreamError::NotEvents),
        }
        Ok(None)
    }

    fn field(&mut self, field: &str, value: &str) {
        if self.has_data {
            self.data.push('\n');
        }
        self.has_data = true;
        match field {
            "error" => self.data.push_str(&format!("{{\"error\":{value}}}")),
            _ => self.data.push_str(value),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn all(pieces: &[&[u8]]) -> Result<Vec<String>, StreamError> {
        let mut events = Events::default();
        pieces.iter().try_fold(Vec::new(), |mut done, piece| {
            done.extend(events.push(piece)?);
            Ok(done)
        })
    }

    #[test]
    fn events_end_with_an_empty_line() {
        let seen = all(&[b"data: {\"a\":1}\n\n: ping\n\ndata:x\r\ndata: y\r\n\r\ndata: never finished"]);
        assert_eq!(seen, Ok(vec!["{\"a\":1}".to_owned(), "x\ny".to_owned()]));
    }

    #[test]
    fn the_older_error_field_reads_like_the_newer() {
        assert_eq!(all(&[b"error: {\"code\":500}\n\n"]), Ok(vec!["{\"error\":{\"code\":500}}".to_owned()]));
    }

    #[test]
    fn what_is_not_an_event_stream_is_refused() {
        assert_eq!(all(&[b"<html>\n"]), Err(StreamError::NotEvents));
        assert_eq!(all(&[b"data: \xff\n"]), Err(StreamError::NotUtf8));
        assert_eq!(all(&[&vec![b'a'; MAX_EVENT], b"a"]), Err(StreamError::TooLong));
        let many_lines = b"data: 1234567890\n".repeat(MAX_EVENT / 10);
        assert_eq!(all(&[&many_lines]), Err(StreamError::TooLong));
    }

    proptest! {
        #[test]
        fn where_the_pieces_are_cut_does_not_matter(texts in prop::collection::vec("[^\r\n]{0,20}", 0..8), cut in 1usize..9) {
            let bytes: Vec<u8> = texts.iter().flat_map(|text| format!("data: {text}\n\n").into_bytes()).collect();
            let pieces: Vec<&[u8]> = bytes.chunks(cut).collect();
            prop_assert_eq!(all(&pieces), Ok(texts));
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = all(&[&bytes]);
        }
    }
}
