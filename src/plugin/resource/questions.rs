//! The standing questions, so that a query can name one.

use std::time::Duration;

use serde_json::{Value, json};

use super::{Answer, Call};
use crate::plugin::settings::Standing;

pub(super) async fn answer(call: Call) -> Answer {
    Ok((200, call.instance.live()?.standing.iter().map(described).collect()))
}

fn described(question: &Standing) -> Value {
    json!({
        "name": question.name, "expr": question.expr, "every": short(question.every), "window": short(question.window),
        "prompt": question.prompt, "model": question.model,
    })
}

/// A length of time as LogQL has it, in the largest unit that leaves nothing over.
fn short(length: Duration) -> String {
    let ms = length.as_millis();
    let units = [(86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1_000, "s")];
    let unit = units.into_iter().find(|(size, _)| ms.is_multiple_of(*size));
    unit.map_or_else(|| format!("{ms}ms"), |(size, name)| format!("{}{name}", ms / size))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_of_time_is_written_as_it_was_given() {
        for (seconds, text) in [(300, "5m"), (86_400, "1d"), (5_400, "90m"), (61, "61s")] {
            assert_eq!(short(Duration::from_secs(seconds)), text);
        }
    }
}
