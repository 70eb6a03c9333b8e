//! Loki's JSON, as it comes over the wire, and what it becomes.
//!
//! Lines are borrowed from the body where they hold no escapes and moved where they do; structured metadata is read
//! only where it is wanted.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use serde::de::value::MapAccessDeserializer;
use serde::de::{DeserializeOwned, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::error::Category;

use crate::stream::{Entry, Labels};

use super::answer::{Page, Pattern, Series};
use super::logs::Direction;

const NANOS_PER_MILLI: i64 = 1_000_000;
const NANOS_PER_SECOND: i64 = 1_000_000_000;

/// Why an answer cannot be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum Misread {
    /// Loki does not speak so.
    #[error("{0}")]
    Odd(String),
    /// It is what a query of another kind gives.
    #[error("the query gives {0}")]
    Kind(String),
}

impl From<String> for Misread {
    fn from(reason: String) -> Self {
        Self::Odd(reason)
    }
}

/// Answer of `query_range` and `query`. `M` is read of what follows a line.
#[derive(Debug, Deserialize)]
#[serde(bound(deserialize = "M: Deserialize<'de>"))]
struct Response<'a, M> {
    #[serde(default)]
    status: String,
    #[serde(default)]
    error: String,
    #[serde(default)]
    warnings: Vec<String>,
    #[serde(borrow)]
    data: Option<Data<'a, M>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", bound(deserialize = "M: Deserialize<'de>"))]
struct Data<'a, M> {
    result_type: String,
    #[serde(borrow)]
    result: Vec<Element<'a, M>>,
}

/// An element of `result`: an object, or of a scalar its time and value.
#[derive(Debug)]
enum Element<'a, M> {
    Item(Item<'a, M>),
    Number,
    Text(Cow<'a, str>),
}

/// A stream, a series, or the one sample of a vector.
#[derive(Debug, Deserialize)]
#[serde(bound(deserialize = "M: Deserialize<'de>"))]
struct Item<'a, M> {
    stream: Option<Labels>,
    metric: Option<Labels>,
    #[serde(borrow, default = "Vec::new")]
    values: Vec<Value<'a, M>>,
    #[serde(borrow)]
    value: Option<Value<'a, M>>,
}

/// `["1795468418271577344", "line", {…}]` or `[1795468418.271, "0.5"]`.
#[derive(Debug)]
struct Value<'a, M> {
    at: i64,
    text: Cow<'a, str>,
    more: Option<M>,
}

/// What follows a line under `categorize-labels`.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct More {
    structured_metadata: Labels,
}

/// Text that is borrowed where the JSON holds it as it is.
struct Text<'a>(Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextVisitor;
        impl<'de> Visitor<'de> for TextVisitor {
            type Value = Text<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text")
            }
            fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Text(Cow::Borrowed(text)))
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Text(Cow::Owned(text.to_owned())))
            }
        }
        deserializer.deserialize_str(TextVisitor)
    }
}

/// Nanoseconds: a text of them, or a number of seconds, which Loki gives in milliseconds' precision.
struct At(i64);

impl<'de> Deserialize<'de> for At {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct AtVisitor;
        impl Visitor<'_> for AtVisitor {
            type Value = At;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("nanoseconds as a text, or seconds as a number")
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<At, E> {
                text.parse().map(At).map_err(|_| E::custom("not a time in nanoseconds"))
            }
            fn visit_i64<E: Error>(self, seconds: i64) -> Result<At, E> {
                seconds.checked_mul(NANOS_PER_SECOND).map(At).ok_or_else(|| E::custom("not a time of this era"))
            }
            fn visit_u64<E: Error>(self, seconds: u64) -> Result<At, E> {
                self.visit_i64(i64::try_from(seconds).unwrap_or(i64::MAX))
            }
            fn visit_f64<E: Error>(self, seconds: f64) -> Result<At, E> {
                let millis = (seconds * 1000.0).round();
                if !millis.is_finite() || millis.abs() >= 9e12 {
                    return Err(E::custom("not a time of this era"));
                }
                Ok(At(millis as i64 * NANOS_PER_MILLI))
            }
        }
        deserializer.deserialize_any(AtVisitor)
    }
}

impl<'de: 'a, 'a, M: Deserialize<'de>> Deserialize<'de> for Value<'a, M> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ValueVisitor<M>(PhantomData<M>);
        impl<'de, M: Deserialize<'de>> Visitor<'de> for ValueVisitor<M> {
            type Value = Value<'de, M>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a time and a text")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
                let At(at) = seq.next_element()?.ok_or_else(|| A::Error::invalid_length(0, &self))?;
                let Text(text) = seq.next_element()?.ok_or_else(|| A::Error::invalid_length(1, &self))?;
                let more = seq.next_element()?;
                while seq.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Value { at, text, more })
            }
        }
        deserializer.deserialize_seq(ValueVisitor(PhantomData))
    }
}

impl<'de: 'a, 'a, M: Deserialize<'de>> Deserialize<'de> for Element<'a, M> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ElementVisitor<M>(PhantomData<M>);
        impl<'de, M: Deserialize<'de>> Visitor<'de> for ElementVisitor<M> {
            type Value = Element<'de, M>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a stream, a series or a scalar")
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
                Item::deserialize(MapAccessDeserializer::new(map)).map(Element::Item)
            }
            fn visit_u64<E: Error>(self, _: u64) -> Result<Self::Value, E> {
                Ok(Element::Number)
            }
            fn visit_f64<E: Error>(self, _: f64) -> Result<Self::Value, E> {
                Ok(Element::Number)
            }
            fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Element::Text(Cow::Borrowed(text)))
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Element::Text(Cow::Owned(text.to_owned())))
            }
        }
        deserializer.deserialize_any(ElementVisitor(PhantomData))
    }
}

/// What structured metadata is read into.
trait Metadata {
    fn labels(self) -> Labels;
}

impl Metadata for More {
    fn labels(self) -> Labels {
        self.structured_metadata
    }
}

impl Metadata for IgnoredAny {
    fn labels(self) -> Labels {
        Labels::default()
    }
}

impl<M: Metadata> TryFrom<(Response<'_, M>, Direction)> for Page {
    type Error = Misread;

    fn try_from((response, direction): (Response<'_, M>, Direction)) -> Result<Self, Misread> {
        let (warnings, data) = response.data()?;
        if data.result_type != "streams" {
            return Err(Misread::Kind(format!("a {}, not log lines: ask for a log query", data.result_type)));
        }
        let mut page = Page { warnings, ..Page::default() };
        for element in data.result {
            let Element::Item(item) = element else { return Err("a stream is not an object".to_owned().into()) };
            let number = u32::try_from(page.streams.len()).map_err(|_| "too many streams".to_owned())?;
            page.streams.push(item.stream.ok_or_else(|| "a stream has no labels".to_owned())?);
            page.entries.reserve(item.values.len());
            let entry = |Value { at, text, more }: Value<'_, M>| {
                let entry = Entry { ts: at, stream: number, line: text.into_owned() };
                (entry, more.map(Metadata::labels).unwrap_or_default())
            };
            // Backwards, Loki gives the entries of one instant in reverse too.
            match direction {
                Direction::Forward => page.entries.extend(item.values.into_iter().map(entry)),
                Direction::Backward => page.entries.extend(item.values.into_iter().rev().map(entry)),
            }
        }
        Ok(page)
    }
}

impl<'a, M> Response<'a, M> {
    fn data(self) -> Result<(Vec<String>, Data<'a, M>), String> {
        match self.data {
            Some(data) if self.status == "success" => Ok((self.warnings, data)),
            _ if !self.error.is_empty() => Err(format!("status `{}`: {}", self.status, self.error)),
            _ => Err(format!("status `{}` and no data", self.status)),
        }
    }
}

/// Parses text that should be UTF-8; what is not becomes replacement characters.
fn parse<T, E>(body: &[u8], read: impl FnOnce(&str) -> Result<T, E>) -> Result<T, E> {
    // Looking for what is to be replaced takes several times as long as seeing that there is nothing.
    match std::str::from_utf8(body) {
        Ok(text) => read(text),
        Err(_) => read(&String::from_utf8_lossy(body)),
    }
}

fn json<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, String> {
    serde_json::from_str(text).map_err(|error| {
        // The error's own text would quote what it found, which may be a line.
        let reason = match error.classify() {
            Category::Eof => "it ends too early",
            Category::Data => "it is JSON of another shape",
            Category::Syntax | Category::Io => "it is not JSON",
        };
        format!("the answer cannot be read: {reason} (line {}, column {})", error.line(), error.column())
    })
}

/// The entries of a `query_range` answer.
pub(super) fn page(body: &[u8], with_metadata: bool, direction: Direction) -> Result<Page, Misread> {
    parse(body, |text| match with_metadata {
        true => {
            let page = Page::try_from((json::<Response<'_, More>>(text)?, direction))?;
            Ok(Page { with_metadata: true, ..page })
        }
        false => Page::try_from((json::<Response<'_, IgnoredAny>>(text)?, direction)),
    })
}

/// What `tail` sends: streams at the top, and what it had to drop.
#[derive(Deserialize)]
struct TailMessage<'a> {
    #[serde(borrow, default = "Vec::new")]
    streams: Vec<Element<'a, IgnoredAny>>,
    #[serde(default)]
    dropped_entries: Option<Vec<IgnoredAny>>,
}

/// The entries of a message of `tail`, and the number of those that Loki dropped.
pub(super) fn tailed(body: &[u8]) -> Result<(Page, usize), Misread> {
    parse(body, |text| {
        let message = json::<TailMessage<'_>>(text)?;
        let data = Data { result_type: "streams".to_owned(), result: message.streams };
        let response =
            Response { status: "success".to_owned(), error: String::new(), warnings: Vec::new(), data: Some(data) };
        let dropped = message.dropped_entries.map_or(0, |dropped| dropped.len());
        Ok((Page::try_from((response, Direction::Forward))?, dropped))
    })
}

/// The series of a metric query. A vector gives series of one sample, a scalar one series at `scalar_at`.
pub(super) fn series(body: &[u8], scalar_at: i64) -> Result<Vec<Series>, Misread> {
    parse(body, |text| {
        let (_, data) = json::<Response<'_, IgnoredAny>>(text)?.data()?;
        match data.result_type.as_str() {
            "matrix" | "vector" => Ok(data.result.into_iter().map(one_series).collect::<Result<_, String>>()?),
            "scalar" => match data.result.as_slice() {
                // The time of a scalar is in milliseconds in some versions and in seconds in others.
                [Element::Number, Element::Text(value)] => {
                    Ok(vec![Series { labels: Labels::default(), samples: vec![(scalar_at, number(value)?)] }])
                }
                _ => Err("a scalar is not a time and a value".to_owned().into()),
            },
            other => Err(Misread::Kind(format!("{other}, not numbers: ask for a metric query"))),
        }
    })
}

fn one_series(element: Element<'_, IgnoredAny>) -> Result<Series, String> {
    let Element::Item(item) = element else { return Err("a series is not an object".to_owned()) };
    let samples = item.values.into_iter().chain(item.value).map(|value| Ok((value.at, number(&value.text)?)));
    Ok(Series { labels: item.metric.unwrap_or_default(), samples: samples.collect::<Result<_, String>>()? })
}

fn number(text: &str) -> Result<f64, String> {
    text.parse().map_err(|_| "the value of a sample is not a number".to_owned())
}

/// Answers that are one list. Loki leaves `data` out when there is nothing to list.
#[derive(Deserialize)]
struct List<T> {
    #[serde(default = "Option::default")]
    data: Option<Vec<T>>,
}

fn list<T: DeserializeOwned>(body: &[u8]) -> Result<Vec<T>, String> {
    parse(body, |text| Ok(json::<List<T>>(text)?.data.unwrap_or_default()))
}

pub(super) fn names(body: &[u8]) -> Result<Vec<String>, String> {
    list(body)
}

pub(super) fn label_sets(body: &[u8]) -> Result<Vec<Labels>, String> {
    list(body)
}

#[derive(Deserialize)]
struct WirePattern {
    pattern: String,
    level: Option<String>,
    #[serde(default)]
    samples: Vec<(i64, u64)>,
}

pub(super) fn patterns(body: &[u8]) -> Result<Vec<Pattern>, String> {
    let of_wire = |WirePattern { pattern, level, samples }: WirePattern| {
        let samples = samples.into_iter().map(|(seconds, count)| (seconds.saturating_mul(NANOS_PER_SECOND), count));
        Pattern { pattern, level: level.filter(|level| !level.is_empty()), samples: samples.collect() }
    };
    Ok(list(body)?.into_iter().map(of_wire).collect())
}

/// Any other answer that is one object.
pub(super) fn object<T: DeserializeOwned>(body: &[u8]) -> Result<T, String> {
    parse(body, |text| json(text))
}

/// `GET /loki/api/v1/status/buildinfo`, in part.
#[derive(Deserialize)]
pub(super) struct BuildInfo {
    #[serde(default)]
    pub(super) version: String,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn lines(body: &str) -> Result<Vec<(i64, u32, String)>, String> {
        let page = page(body.as_bytes(), false, Direction::Backward).map_err(|misread| misread.to_string())?;
        let logs = page.into_logs(true);
        Ok(logs.window.entries.into_iter().map(|entry| (entry.ts, entry.stream, entry.line)).collect())
    }

    fn streams(result: &str) -> String {
        format!(r#"{{"status":"success","data":{{"result":[{result}],"resultType":"streams"}}}}"#)
    }

    #[test]
    fn entries_of_one_instant_keep_the_order_in_which_they_were_written() {
        let body = streams(r#"{"stream":{"a":"b"},"values":[["2","d\"\n"],["1","c"],["1","b"],["0","a",{"x":1},2]]}"#);
        let expected = [(0, "a"), (1, "b"), (1, "c"), (2, "d\"\n")].map(|(ts, line)| (ts, 0, line.to_owned()));
        assert_eq!(lines(&body).unwrap(), expected);
    }

    #[test]
    fn what_is_not_a_log_answer_says_what_it_is() {
        for (body, expected) in [
            ("{", "ends too early (line 1, column 1)"),
            ("{oops", "is not JSON"),
            (r#"{"status":"success"}"#, "no data"),
            (r#"{"status":"error","error":"why"}"#, "status `error`: why"),
            (r#"{"status":"success","data":{"resultType":"matrix","result":[]}}"#, "gives a matrix"),
            (streams("7").as_str(), "not an object"),
            (streams(r#"{"values":[]}"#).as_str(), "no labels"),
            (streams(r#"{"stream":{},"values":[["x","y"]]}"#).as_str(), "JSON of another shape"),
            (streams(r#"{"stream":{},"values":[["1"]]}"#).as_str(), "JSON of another shape"),
            (streams(r#"{"stream":{},"values":[[1e300,"x"]]}"#).as_str(), "JSON of another shape"),
        ] {
            let error = lines(body).unwrap_err();
            assert!(error.contains(expected), "{body}: {error}");
        }
    }

    #[test]
    fn no_error_quotes_a_line() {
        for result in [
            r#"{"stream":{},"values":[["canary","x"]]}"#,
            r#"{"stream":{},"values":["canary"]}"#,
            r#"{"stream":{},"values":[["1",["canary"]]]}"#,
            r#"{"stream":"canary","values":[]}"#,
            r#"{"stream":{},"values":[["1","x",{"structuredMetadata":"canary"}]]}"#,
        ] {
            let error = page(streams(result).as_bytes(), true, Direction::Forward).unwrap_err().to_string();
            assert!(!error.contains("canary"), "{error}");
        }
        let matrix = streams(r#"{"metric":{},"values":[[1,"canary"]]}"#).replace("streams", "matrix");
        assert!(!series(matrix.as_bytes(), 0).unwrap_err().to_string().contains("canary"));
    }

    #[test]
    fn bytes_that_are_not_utf8_are_replaced_and_not_lost() {
        let body = streams(r#"{"stream":{},"values":[["1","aXb"]]}"#).replace('X', "\u{1}");
        let bytes: Vec<u8> = body.bytes().map(|byte| if byte == 1 { 0xff } else { byte }).collect();
        let logs = page(&bytes, false, Direction::Forward).unwrap().into_logs(true);
        assert_eq!(logs.window.entries[0].line, "a\u{fffd}b");
    }

    /// JSON that looks like an answer, with something odd in each place.
    fn odd_answer() -> impl Strategy<Value = String> {
        let part = prop_oneof![
            Just("1".to_owned()),
            Just("\"1\"".to_owned()),
            Just("null".to_owned()),
            Just("[]".to_owned()),
            Just("{}".to_owned()),
            Just("-1e999".to_owned()),
            Just("18446744073709551616".to_owned()),
            Just("\"NaN\"".to_owned()),
            "\"[a-z]{0,3}\"",
        ];
        let kind = prop_oneof![Just("streams"), Just("matrix"), Just("vector"), Just("scalar"), Just("odd")];
        (kind, part.clone(), part.clone(), part.clone(), part).prop_map(|(kind, a, b, c, d)| {
            format!(
                r#"{{"status":"success","data":{{"resultType":"{kind}","result":[{{"stream":{{"k":{a}}},"metric":{{}},
                "values":[[{b},{c},{d}]],"value":[{b},{c}]}}]}}}}"#
            )
        })
    }

    fn read_as_everything(bytes: &[u8]) {
        for with_metadata in [false, true] {
            let _ = page(bytes, with_metadata, Direction::Backward).map(|page| page.into_logs(true));
        }
        let _ = (series(bytes, 0), names(bytes), label_sets(bytes), patterns(bytes), object::<BuildInfo>(bytes));
    }

    proptest! {
        #[test]
        fn no_bytes_make_a_parser_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            read_as_everything(&bytes);
        }

        #[test]
        fn no_answer_makes_a_parser_panic(text in odd_answer(), cut in 0usize..300) {
            read_as_everything(text.as_bytes());
            read_as_everything(&text.as_bytes()[..cut.min(text.len())]);
        }
    }
}
