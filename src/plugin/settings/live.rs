//! What the analysis of live logs goes by: model servers, guard, redaction, bounds, ages, standing questions.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Deserializer};

use super::read::Reader;
use crate::guard::Guard;
use crate::http::Secret;
use crate::llama;
use crate::logql;
use crate::prompt::PromptId;
use crate::redact::Policy;

/// `secureJsonData.modelApiKey.<name>`: the key of the model server of that name.
pub(super) const API_KEY: &str = "modelApiKey.";
/// `secureJsonData.hashKey`: the key of the hash of rendered prompts; without it the hash is a bare one.
pub(super) const HASH_KEY: &str = "hashKey";
/// The rule baseline, which needs no server.
pub(in crate::plugin) const RULES: &str = "rules";

/// Keys of this section in `jsonData`.
pub(super) const KEYS: [&str; 12] = [
    "modelServers",
    "defaultModel",
    "guard",
    "redaction",
    "budget",
    "maxLines",
    "freshFor",
    "maxAge",
    "timeoutS",
    "queue",
    "cachePath",
    "standingQuestions",
];

/// The shortest time between two answers to a standing question.
const SHORTEST_SCHEDULE: Duration = Duration::from_secs(10);

/// The section.
#[derive(Debug, Clone)]
pub(in crate::plugin) struct Live {
    /// Model servers, by the names of `models.toml`.
    pub(in crate::plugin) servers: Vec<ModelServer>,
    /// The model that is asked when neither the query nor its route names one.
    pub(in crate::plugin) default_model: String,
    /// What a query may cost.
    pub(in crate::plugin) guard: Guard,
    /// What is replaced beyond secrets.
    pub(in crate::plugin) policy: Policy,
    /// Tokens of a digest.
    pub(in crate::plugin) budget: usize,
    /// Entries that are fetched at most.
    pub(in crate::plugin) max_lines: usize,
    /// How long a verdict counts as fresh.
    pub(in crate::plugin) fresh_for: Duration,
    /// How old a verdict may be that an alert rule still gets.
    pub(in crate::plugin) max_age: Duration,
    /// Budget of one answer of a model.
    pub(in crate::plugin) timeout: Duration,
    /// Questions that wait at most.
    pub(in crate::plugin) queue: usize,
    /// Folder of the cache of verdicts, if one is set.
    pub(in crate::plugin) cache_path: Option<PathBuf>,
    /// Questions that are asked on a schedule.
    pub(in crate::plugin) standing: Vec<Standing>,
    /// Key of the hash of rendered prompts.
    pub(in crate::plugin) hash_key: Option<Secret>,
}

/// A model server.
#[derive(Debug, Clone)]
pub(in crate::plugin) struct ModelServer {
    /// The model's name in `models.toml`.
    pub(in crate::plugin) name: String,
    /// The way to it.
    pub(in crate::plugin) client: llama::Client,
}

/// A question that is asked on a schedule.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::plugin) struct Standing {
    /// Its name, unique in the data source.
    pub(in crate::plugin) name: String,
    /// LogQL.
    pub(in crate::plugin) expr: String,
    /// Time between two answers.
    #[serde(deserialize_with = "duration")]
    pub(in crate::plugin) every: Duration,
    /// Length of time that is looked at.
    #[serde(deserialize_with = "duration")]
    pub(in crate::plugin) window: Duration,
    /// The prompt; by route if absent.
    #[serde(default, deserialize_with = "prompt")]
    pub(in crate::plugin) prompt: Option<PromptId>,
    /// The model; by route or the default one if absent.
    #[serde(default)]
    pub(in crate::plugin) model: Option<String>,
}

fn duration<'d, D: Deserializer<'d>>(deserializer: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(deserializer)?;
    logql::duration(&text).map_err(serde::de::Error::custom)
}

/// A prompt's id; `route` means by route.
pub(in crate::plugin) fn prompt<'d, D: Deserializer<'d>>(deserializer: D) -> Result<Option<PromptId>, D::Error> {
    match Option::<String>::deserialize(deserializer)?.as_deref().map(str::trim) {
        None | Some("" | "route") => Ok(None),
        Some(id) => id.parse().map(Some).map_err(serde::de::Error::custom),
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Server {
    name: String,
    url: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
struct Redaction {
    ip_addresses: bool,
    email_addresses: bool,
}

/// Reads the section.
pub(super) fn live(mut reader: Reader<'_>) -> Result<Live, String> {
    let servers = servers(&mut reader);
    let redaction: Redaction = reader.object("redaction");
    let seconds = |number| Duration::from_secs(number);
    let live = Live {
        default_model: default_model(&mut reader, &servers),
        guard: reader.object("guard"),
        policy: Policy { ip: redaction.ip_addresses, email: redaction.email_addresses },
        budget: size(reader.whole("budget", 100..=100_000, 1_500)),
        max_lines: size(reader.whole("maxLines", 1..=100_000, 5_000)),
        fresh_for: seconds(reader.whole("freshFor", 1..=86_400, 300)),
        max_age: seconds(reader.whole("maxAge", 1..=604_800, 3_600)),
        timeout: seconds(reader.whole("timeoutS", 1..=3_600, 120)),
        queue: size(reader.whole("queue", 1..=1_000, 32)),
        cache_path: reader.path("cachePath"),
        standing: standing(&mut reader, &servers),
        hash_key: reader.secret(HASH_KEY),
        servers,
    };
    if live.max_age < live.fresh_for {
        let (max_age, fresh_for) = (live.max_age.as_secs(), live.fresh_for.as_secs());
        reader.fault(format!("setting `maxAge` is {max_age}: give at least `freshFor`, which is {fresh_for}"));
    }
    reader.done(live)
}

fn size(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

fn servers(reader: &mut Reader<'_>) -> Vec<ModelServer> {
    let given: Vec<Server> = reader.object("modelServers");
    let (mut servers, mut names) = (Vec::new(), BTreeSet::new());
    for Server { name, url } in given {
        let name = name.trim().to_owned();
        if name.is_empty() || name == RULES || !names.insert(name.clone()) {
            let reason = match name.as_str() {
                "" => "a model server has no name: give the model's name of models.toml".to_owned(),
                RULES => "the rule baseline needs no server: take `rules` out".to_owned(),
                _ => format!("two model servers are named `{name}`: take one out"),
            };
            reader.fault(format!("setting `modelServers`: {reason}"));
            continue;
        }
        match llama::Client::new(url.trim(), reader.secret(&format!("{API_KEY}{name}")).as_ref()) {
            Ok(client) => servers.push(ModelServer { name, client }),
            Err(error) => reader.fault(format!("setting `modelServers`, `{name}`: {error}")),
        }
    }
    servers
}

/// Without a setting: the model server if there is just one, else the rules.
fn default_model(reader: &mut Reader<'_>, servers: &[ModelServer]) -> String {
    match (reader.text("defaultModel", RULES), servers) {
        (Some(name), _) => {
            if let Err(fault) = known(name, servers) {
                reader.fault(format!("setting `defaultModel` is `{name}`: {fault}"));
            }
            name.to_owned()
        }
        (None, [only]) => only.name.clone(),
        (None, _) => RULES.to_owned(),
    }
}

/// Whether a model can be asked.
pub(in crate::plugin) fn known(name: &str, servers: &[ModelServer]) -> Result<(), String> {
    let names: Vec<&str> = std::iter::once(RULES).chain(servers.iter().map(|server| server.name.as_str())).collect();
    if names.contains(&name) {
        return Ok(());
    }
    Err(format!("no model server has that name: there are {}; add it to `modelServers`", names.join(", ")))
}

fn standing(reader: &mut Reader<'_>, servers: &[ModelServer]) -> Vec<Standing> {
    let questions: Vec<Standing> = reader.object("standingQuestions");
    let mut names = BTreeSet::new();
    for question in &questions {
        let unknown = question.model.as_deref().and_then(|model| known(model, servers).err());
        let reason = if question.name.trim().is_empty() {
            Some("a question has no name: give it one".to_owned())
        } else if !names.insert(&question.name) {
            Some("another question has that name: rename one".to_owned())
        } else if let Err(reason) = logql::gives_lines(&question.expr) {
            Some(format!("its `expr` {reason}"))
        } else if question.every < SHORTEST_SCHEDULE {
            Some("it is asked more often than every 10 s: give a longer `every`".to_owned())
        } else {
            unknown.map(|reason| format!("its model is `{}`: {reason}", question.model.as_deref().unwrap_or_default()))
        };
        if let Some(reason) = reason {
            reader.fault(format!("setting `standingQuestions`, `{}`: {reason}", question.name));
        }
    }
    questions
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::{Value, json};

    use super::*;
    use crate::guard::Mode;

    fn read(json: &Value) -> Result<Live, String> {
        let secure = BTreeMap::from([(format!("{API_KEY}qwen"), Secret::new("canary"))]);
        live(Reader::new(json.as_object().unwrap(), &secure))
    }

    #[test]
    fn everything_has_a_default() {
        let live = read(&json!({})).unwrap();
        assert_eq!((live.default_model.as_str(), live.budget, live.max_lines, live.queue), (RULES, 1_500, 5_000, 32));
        assert_eq!([live.fresh_for, live.max_age, live.timeout].map(|time| time.as_secs()), [300, 3_600, 120]);
        assert!(live.servers.is_empty() && live.standing.is_empty() && live.guard.mode == Mode::Off);
    }

    #[test]
    fn all_that_can_be_set_is_read() {
        let live = read(&json!({
            "modelServers": [{"name": "qwen", "url": "http://llama:8080"}], "guard": {"mode": "warn", "maxBytes": 5},
            "redaction": {"ipAddresses": true}, "budget": "800", "cachePath": "/tmp/x",
            "standingQuestions": [{"name": "m", "expr": "{a=\"b\"}", "every": "5m", "window": "15m", "prompt": "triage@2"}],
        }));
        let live = live.unwrap();
        assert_eq!((live.default_model.as_str(), live.servers[0].client.url()), ("qwen", "http://llama:8080"));
        assert_eq!((live.guard.max_bytes, live.policy.ip, live.policy.email), (Some(5), true, false));
        assert_eq!((live.budget, live.standing[0].window), (800, Duration::from_secs(900)));
        assert!(!format!("{live:?}").contains("canary"));
    }

    #[test]
    fn a_wrong_value_is_told_with_setting_value_and_way_out() {
        let question = |more: Value| {
            let mut question = json!({"name": "m", "expr": "{a=\"b\"}", "every": "5m", "window": "15m"});
            question.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            json!({"standingQuestions": [question]})
        };
        for (json, expected) in [
            (
                json!({"modelServers": [{"name": "a", "url": "https://a"}]}),
                "`modelServers`, `a`: cannot use `https://a`",
            ),
            (json!({"modelServers": [{"name": "a"}]}), "missing field `url`"),
            (json!({"modelServers": [{"name": "rules", "url": "http://a"}]}), "needs no server"),
            (json!({"modelServers": {"a": "b"}}), "setting `modelServers`: invalid type: map"),
            (
                json!({"defaultModel": "quen"}),
                "`defaultModel` is `quen`: no model server has that name: there are rules",
            ),
            (json!({"guard": {"mode": "deny"}}), "setting `guard`, field `mode`: unknown variant `deny`"),
            (json!({"guard": {"maxbytes": 5}}), "did you mean `maxBytes`?"),
            (json!({"redaction": {"ips": true}}), "unknown field `ips`"),
            (json!({"budget": 0}), "setting `budget` is 0: give a whole number from 100 to 100000"),
            (json!({"maxAge": 60}), "setting `maxAge` is 60: give at least `freshFor`, which is 300"),
            (question(json!({"every": "5"})), "`5` is not a duration such as 15m"),
            (question(json!({"every": "1s"})), "more often than every 10 s"),
            (question(json!({"expr": "up"})), "no stream selector"),
            (question(json!({"expr": "rate({a=\"b\"}[5m])"})), "`expr` is a metric query"),
            (question(json!({"model": "x"})), "`m`: its model is `x`: no model server"),
            (question(json!({"prompt": "triage"})), "field `[0].prompt`"),
        ] {
            let fault = read(&json).map(|_| ()).unwrap_err();
            assert!(fault.contains(expected), "{json}: {fault}");
        }
    }
}
