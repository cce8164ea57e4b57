//! Server-sent events, one by one as they come: <https://html.spec.whatwg.org/multipage/server-sent-events.html>.

use std::fmt::Write as _;

use crate::pump::MAX_MESSAGE_BYTES;

/// An event: its data, and its other fields as they came.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Event {
    /// The message; none in an event that only says where the stream is.
    pub(crate) data: Option<String>,
    pub(crate) id: Option<String>,
    pub(crate) retry: Option<u64>,
    /// The name and other fields, and comments.
    other: Vec<String>,
}

impl Event {
    /// An event of one message.
    pub(crate) fn of(data: String) -> Self {
        Self { data: Some(data), ..Self::default() }
    }

    /// Whether it is a message, and not another kind of event.
    pub(crate) fn is_message(&self) -> bool {
        let name = self.other.iter().filter_map(|line| line.strip_prefix("event:")).next_back();
        name.is_none_or(|name| name.trim() == "message") && self.data.as_ref().is_some_and(|data| !data.is_empty())
    }

    /// The same event with another message.
    pub(crate) fn with(self, data: String) -> Self {
        Self { data: Some(data), ..self }
    }

    /// As it is written.
    pub(crate) fn to_text(&self) -> String {
        let mut text = String::new();
        for line in &self.other {
            let _ = writeln!(text, "{line}");
        }
        if let Some(id) = &self.id {
            let _ = writeln!(text, "id: {id}");
        }
        if let Some(retry) = self.retry {
            let _ = writeln!(text, "retry: {retry}");
        }
        if let Some(data) = &self.data {
            for line in data.split('\n') {
                let _ = writeln!(text, "data: {line}");
            }
        }
        text.push('\n');
        text
    }
}

/// Reads events from the parts of a stream.
#[derive(Debug, Default)]
pub(crate) struct Reader {
    buffer: Vec<u8>,
    event: Event,
    is_begun: bool,
    size: usize,
    after_return: bool,
}

/// The stream has an event that is too long, or bytes that are no text.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Malformed;

impl Reader {
    /// The events that are complete with this part.
    pub(crate) fn read(&mut self, part: &[u8]) -> Result<Vec<Event>, Malformed> {
        let mut events = Vec::new();
        for byte in part {
            let after_return = std::mem::replace(&mut self.after_return, *byte == b'\r');
            match byte {
                b'\n' if after_return => {}
                b'\n' | b'\r' => {
                    let line = std::mem::take(&mut self.buffer);
                    let line = String::from_utf8(line).map_err(|_| Malformed)?;
                    events.extend(self.line(&line));
                }
                _ => {
                    self.size = self.size.saturating_add(1);
                    if self.size > MAX_MESSAGE_BYTES {
                        return Err(Malformed);
                    }
                    self.buffer.push(*byte);
                }
            }
        }
        Ok(events)
    }

    fn line(&mut self, line: &str) -> Option<Event> {
        if line.is_empty() {
            self.size = 0;
            let event = std::mem::take(&mut self.event);
            return std::mem::take(&mut self.is_begun).then_some(event);
        }
        self.is_begun = true;
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match name {
            "data" => match &mut self.event.data {
                Some(data) => {
                    data.push('\n');
                    data.push_str(value);
                }
                None => self.event.data = Some(value.to_owned()),
            },
            "id" => self.event.id = Some(value.to_owned()),
            "retry" => self.event.retry = value.parse().ok(),
            _ => self.event.other.push(line.to_owned()),
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_read_in_any_parts_and_written_the_same() {
        let text =
            ": hello\n\nid: 1\nretry: 500\ndata: \n\nevent: message\nid: 2\ndata: {\"a\":1}\n\ndata: a\ndata: b\n\n";
        for size in 1..text.len() {
            let mut reader = Reader::default();
            let events: Vec<_> = text.as_bytes().chunks(size).flat_map(|part| reader.read(part).unwrap()).collect();
            assert_eq!(events.iter().map(Event::to_text).collect::<String>(), text, "{size}");
            assert_eq!(events.iter().map(Event::is_message).collect::<Vec<_>>(), [false, false, true, true]);
            assert_eq!(events[1].id.as_deref(), Some("1"));
            assert_eq!(events[3].data.as_deref(), Some("a\nb"));
        }
        let mut reader = Reader::default();
        assert_eq!(reader.read(b"data: a\r\n\r\ndata:b\r\rdata\n\n").unwrap().len(), 3);
        assert_eq!(reader.read(b"data: \xff\n"), Err(Malformed));
        assert!(!Event::of(String::new()).is_message());
        let mut reader = Reader::default();
        assert!(!reader.read(b"event: other\ndata: {}\n\n").unwrap()[0].is_message());
    }

    #[test]
    fn an_event_is_no_longer_than_a_message() {
        let mut reader = Reader::default();
        let part = vec![b'x'; 1 << 20];
        reader.read(b"data: ").unwrap();
        assert!((0..16).any(|_| reader.read(&part).is_err()));
    }
}
