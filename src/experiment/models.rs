//! `models/models.toml`: the models an installation knows, by name.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::problem::{self, Problem, did_you_mean};

/// Where answers come from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Kind {
    /// The rule baseline: no model at all.
    Rules,
    /// A GGUF file that the harness serves itself.
    Managed {
        /// Path of the file, relative to `models.toml`.
        file: String,
        /// SHA-256 that the file must have.
        sha256: String,
        /// Context size of one slot, in tokens.
        context: u32,
    },
    /// A llama-server that somebody else runs.
    External {
        /// Base URL, without credentials.
        url: String,
        /// The fingerprint that the server must show, once it is pinned.
        #[serde(default)]
        fingerprint: Option<String>,
    },
}

/// One named model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ModelSpec {
    /// Unique name.
    pub name: String,
    /// What it is, for people; a demo model says so here.
    pub description: String,
    /// Quantization as llama.cpp names it, `-` for rules.
    pub quantization: String,
    /// Bytes of log text per token, for local estimates.
    pub bytes_per_token: f64,
    /// Whether figures of this model must be marked: it was made for demonstrations.
    pub demo: bool,
    /// Where answers come from.
    pub kind: Kind,
}

/// The models by name.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Models(BTreeMap<String, ModelSpec>);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    model: Vec<Raw>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    name: String,
    description: String,
    kind: String,
    #[serde(default)]
    file: Option<String>,
    #[serde(default)]
    sha256: Option<String>,
    #[serde(default)]
    context: Option<u32>,
    #[serde(default)]
    url: Option<String>,
    #[serde(default)]
    fingerprint: Option<String>,
    #[serde(default)]
    quantization: Option<String>,
    #[serde(default)]
    bytes_per_token: Option<f64>,
    #[serde(default)]
    demo: bool,
}

impl Models {
    /// Parses `models/models.toml`.
    ///
    /// # Errors
    /// Malformed TOML, an unknown kind, a field that the kind needs or does not have, a duplicate name.
    pub fn parse(file: &str, text: &str) -> Result<Self, Problem> {
        let raw: File = problem::parse_toml(file, text)?;
        let mut models = BTreeMap::new();
        for (index, raw) in raw.model.into_iter().enumerate() {
            let name = raw.name.clone();
            let spec = ModelSpec::from_raw(raw).map_err(|(field, message, hint)| {
                Problem::new(file, format!("model `{name}`: {message}"))
                    .in_field(format!("model[{index}].{field}"))
                    .hint(hint)
            })?;
            if models.insert(name.clone(), spec).is_some() {
                let message = format!("two models are named `{name}`");
                return Err(Problem::new(file, message).in_field(format!("model[{index}].name")).hint("rename one"));
            }
        }
        Ok(Self(models))
    }

    /// The model `name`.
    ///
    /// # Errors
    /// An unknown name, with the closest known one.
    pub fn get(&self, name: &str) -> Result<&ModelSpec, String> {
        self.0.get(name).ok_or_else(|| {
            let known = || self.0.keys().map(String::as_str);
            let all = || format!("there are {}", known().collect::<Vec<_>>().join(", "));
            format!("no model `{name}`: {}", did_you_mean(name, known()).unwrap_or_else(all))
        })
    }

    /// Adds or replaces a model.
    pub fn insert(&mut self, spec: ModelSpec) {
        self.0.insert(spec.name.clone(), spec);
    }

    /// All models by name.
    pub fn iter(&self) -> impl Iterator<Item = &ModelSpec> {
        self.0.values()
    }
}

type Refusal = (&'static str, String, &'static str);

impl ModelSpec {
    fn from_raw(raw: Raw) -> Result<Self, Refusal> {
        let need = |field: &'static str, value: Option<String>| {
            let hint = "managed models need file, sha256 and context; external ones need url";
            value.ok_or((field, format!("kind `{}` needs `{field}`", raw.kind), hint))
        };
        let kind = match raw.kind.as_str() {
            "rules" => Kind::Rules,
            "managed" => Kind::Managed {
                file: need("file", raw.file)?,
                sha256: need("sha256", raw.sha256)?,
                context: need("context", raw.context.map(|n| n.to_string()))?.parse().unwrap_or_default(),
            },
            "external" => Kind::External { url: need("url", raw.url)?, fingerprint: raw.fingerprint },
            other => return Err(("kind", format!("unknown kind `{other}`"), "one of rules, managed, external")),
        };
        let bytes_per_token = raw.bytes_per_token.unwrap_or(3.0);
        if !(0.5..=20.0).contains(&bytes_per_token) {
            return Err(("bytes_per_token", format!("{bytes_per_token} is out of range"), "between 0.5 and 20"));
        }
        Ok(Self {
            name: raw.name,
            description: raw.description,
            quantization: raw.quantization.unwrap_or_else(|| "-".to_owned()),
            bytes_per_token,
            demo: raw.demo,
            kind,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Models, String> {
        Models::parse("models.toml", &format!("[[model]]\nname='m'\ndescription='d'\n{text}"))
            .map_err(|problem| problem.to_string())
    }

    #[test]
    fn each_kind_needs_its_fields() {
        assert!(parse("kind='rules'").unwrap().get("m").is_ok());
        assert!(parse("kind='managed'\nfile='m.gguf'").unwrap_err().contains("needs `sha256`"));
        assert!(parse("kind='external'").unwrap_err().contains("needs `url`"));
        assert!(parse("kind='openai'").unwrap_err().contains("unknown kind `openai`"));
        assert!(parse("kind='rules'").unwrap().get("n").unwrap_err().contains("there are m"));
    }
}
