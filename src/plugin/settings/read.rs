//! Reading one section of a data source's settings: typed, each fault in words that name the setting, its value and the
//! way out, and all faults of a section at once.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::http::Secret;
use crate::problem::{excerpt, parse_json};

/// The settings of a data source, and what was found wrong with those that were read so far.
#[derive(Debug)]
pub(super) struct Reader<'a> {
    /// `jsonData`.
    pub(super) json: &'a Map<String, Value>,
    /// `secureJsonData`, decrypted.
    pub(super) secure: &'a BTreeMap<String, Secret>,
    faults: Vec<String>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(json: &'a Map<String, Value>, secure: &'a BTreeMap<String, Secret>) -> Self {
        Self { json, secure, faults: Vec::new() }
    }

    /// What was read, unless anything was wrong.
    pub(super) fn done<T>(self, read: T) -> Result<T, String> {
        if self.faults.is_empty() { Ok(read) } else { Err(self.faults.join("; ")) }
    }

    pub(super) fn fault(&mut self, text: String) {
        self.faults.push(text);
    }

    fn wrong(&mut self, key: &str, value: &Value, way_out: &str) {
        self.fault(format!("setting `{key}` is {}: {way_out}", excerpt(&value.to_string())));
    }

    fn given(&self, key: &str) -> Option<&'a Value> {
        self.json.get(key).filter(|value| !value.is_null() && value.as_str() != Some(""))
    }

    /// A text; `None` if it is not set.
    pub(super) fn text(&mut self, key: &str, example: &str) -> Option<&'a str> {
        match self.given(key)? {
            Value::String(text) => Some(text.trim()).filter(|text| !text.is_empty()),
            other => {
                self.wrong(key, other, &format!("give a text such as {example}"));
                None
            }
        }
    }

    /// Yes or no; also as text, as provisioning files with variables give it.
    pub(super) fn flag(&mut self, key: &str) -> Option<bool> {
        match self.given(key)? {
            Value::Bool(flag) => Some(*flag),
            Value::String(text) if text == "true" => Some(true),
            Value::String(text) if text == "false" => Some(false),
            other => {
                self.wrong(key, other, "give true or false");
                None
            }
        }
    }

    /// A whole number within bounds, `default` if it is not set; also as text.
    pub(super) fn whole(&mut self, key: &str, within: RangeInclusive<u64>, default: u64) -> u64 {
        let Some(value) = self.given(key) else { return default };
        let number = value.as_u64().or_else(|| value.as_str()?.trim().parse().ok());
        match number.filter(|number| within.contains(number)) {
            Some(number) => number,
            None => {
                let (least, most) = within.into_inner();
                self.wrong(key, value, &format!("give a whole number from {least} to {most}"));
                default
            }
        }
    }

    /// An absolute path; `None` if it is not set.
    pub(super) fn path(&mut self, key: &str) -> Option<std::path::PathBuf> {
        let text = self.text(key, "/var/lib/assay")?;
        if text.starts_with('/') {
            return Some(text.into());
        }
        self.fault(format!("setting `{key}` is `{}`: give an absolute path, such as /var/lib/assay", excerpt(text)));
        None
    }

    /// A list or an object, `T`'s default if it is not set. An unknown field is a fault, with what was probably meant.
    pub(super) fn object<T: DeserializeOwned + Default>(&mut self, key: &str) -> T {
        let Some(value) = self.given(key) else { return T::default() };
        match parse_json(key, 1, &value.to_string()) {
            Ok(read) => read,
            Err(problem) => {
                let field = problem.field.map(|field| format!(", field `{field}`")).unwrap_or_default();
                let message = problem.message.split(" at line ").next().unwrap_or_default();
                let hint = problem.hint.map(|hint| format!(": {hint}")).unwrap_or_default();
                self.fault(format!("setting `{key}`{field}: {message}{hint}"));
                T::default()
            }
        }
    }

    /// A credential; `None` if it is not set.
    pub(super) fn secret(&self, key: &str) -> Option<Secret> {
        self.secure.get(key).filter(|secret| !secret.expose().is_empty()).cloned()
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;
    use serde_json::json;

    use super::*;

    #[derive(Debug, Default, PartialEq, Deserialize)]
    #[serde(default, deny_unknown_fields)]
    struct Limits {
        bytes: u64,
    }

    fn with<T>(json: &Value, read: impl FnOnce(&mut Reader<'_>) -> T) -> Result<T, String> {
        let (json, secure) = (json.as_object().unwrap(), BTreeMap::new());
        let mut reader = Reader::new(json, &secure);
        let value = read(&mut reader);
        reader.done(value)
    }

    #[test]
    fn what_is_not_set_is_the_default() {
        for json in [json!({}), json!({"n": null, "f": null, "t": "", "o": null})] {
            let read = with(&json, |r| {
                (r.whole("n", 1..=9, 5), r.flag("f"), r.text("t", "x").map(str::to_owned), r.object::<Limits>("o"))
            });
            assert_eq!(read.unwrap(), (5, None, None, Limits::default()));
        }
    }

    #[test]
    fn numbers_and_flags_may_come_as_texts() {
        let json = json!({"n": "7", "f": "true"});
        assert_eq!(with(&json, |r| (r.whole("n", 1..=9, 5), r.flag("f"))).unwrap(), (7, Some(true)));
    }

    #[test]
    fn every_fault_is_told_with_its_value_and_the_way_out() {
        let json = json!({"n": 10, "f": "yes", "t": 3, "o": {"byte": 1}, "p": "here"});
        let faults = with(&json, |r| {
            (
                r.whole("n", 1..=9, 5),
                r.flag("f"),
                r.text("t", "x").map(str::to_owned),
                r.object::<Limits>("o"),
                r.path("p"),
            )
        });
        assert_eq!(
            faults.unwrap_err(),
            "setting `n` is 10: give a whole number from 1 to 9; setting `f` is \"yes\": give true or false; \
             setting `t` is 3: give a text such as x; setting `o`, field `byte`: unknown field `byte`: \
             did you mean `bytes`?; setting `p` is `here`: give an absolute path, such as /var/lib/assay"
        );
    }
}
