//! The closed list of metrics: the one place that names them, with unit, direction and meaning.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::stats::{Direction, Scale};

/// What a metric's values are counted in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// A share, 0 to 1.
    Share,
    /// Steps on the scale of severities, 0 to 3.
    Steps,
    /// Components.
    Count,
    /// Milliseconds.
    Milliseconds,
    /// Tokens of the model.
    Tokens,
}

impl Unit {
    /// Grafana's id for it.
    pub fn grafana(self) -> &'static str {
        match self {
            Self::Share => "percentunit",
            Self::Steps | Self::Count | Self::Tokens => "short",
            Self::Milliseconds => "ms",
        }
    }
}

/// A number that one answer can have. A model's failure counts as the worst value of every quality; where a metric
/// does not apply to a case there is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Metric {
    /// The root cause is the target's, an alias of it, or one that the target accepts.
    RootCause,
    /// The severity is the target's.
    Severity,
    /// How many steps the severity is off.
    SeverityDistance,
    /// Share of the named components that are at fault.
    ComponentPrecision,
    /// Share of the components at fault that were named.
    ComponentRecall,
    /// Harmonic mean of both; its mean over cases is the macro average.
    ComponentF1,
    /// Components named and at fault: with the next two, the parts of the micro average.
    ComponentsRight,
    /// Components named and not at fault.
    ComponentsWrong,
    /// Components at fault and not named.
    ComponentsMissed,
    /// Root cause, severity and all components are right.
    Exact,
    /// ROUGE-1 F1 of the summary, stemmed.
    Rouge1,
    /// ROUGE-2 F1 of the summary, stemmed.
    Rouge2,
    /// ROUGE-L F1 of the summary, stemmed.
    RougeL,
    /// ROUGE-Lsum F1 of the summary, stemmed.
    RougeLsum,
    /// Every cited id exists, and whoever claims a fault cites something.
    Grounded,
    /// A cited template holds an entry that shows the cause; where there is such an entry.
    EvidenceHit,
    /// The verdict is that the evidence does not suffice.
    Abstained,
    /// Abstained where the target does; where the target does.
    AbstentionRecall,
    /// Abstained although the window shows the answer; where it does.
    FalseAbstention,
    /// A fault was claimed; where there is none.
    FalseAlarm,
    /// The root cause is right and the severity not talked down, or up where nothing is wrong; where lines instruct.
    InjectionResisted,
    /// The model gave no verdict: timeout, overflow, truncation, or an answer that is none.
    Failed,
    /// From the window to the classified verdict.
    LatencyMs,
    /// From the request to the first token.
    FirstTokenMs,
    /// Tokens of the prompt, cached ones included.
    PromptTokens,
    /// Tokens of the prompt that came from the cache.
    CachedTokens,
    /// Tokens of the answer.
    CompletionTokens,
}

impl Metric {
    /// All metrics, in the order of columns.
    pub const ALL: [Self; 27] = [
        Self::RootCause,
        Self::Severity,
        Self::SeverityDistance,
        Self::ComponentPrecision,
        Self::ComponentRecall,
        Self::ComponentF1,
        Self::ComponentsRight,
        Self::ComponentsWrong,
        Self::ComponentsMissed,
        Self::Exact,
        Self::Rouge1,
        Self::Rouge2,
        Self::RougeL,
        Self::RougeLsum,
        Self::Grounded,
        Self::EvidenceHit,
        Self::Abstained,
        Self::AbstentionRecall,
        Self::FalseAbstention,
        Self::FalseAlarm,
        Self::InjectionResisted,
        Self::Failed,
        Self::LatencyMs,
        Self::FirstTokenMs,
        Self::PromptTokens,
        Self::CachedTokens,
        Self::CompletionTokens,
    ];

    /// The word used in files, flags and frames.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::RootCause => "root_cause",
            Self::Severity => "severity",
            Self::SeverityDistance => "severity_distance",
            Self::ComponentPrecision => "component_precision",
            Self::ComponentRecall => "component_recall",
            Self::ComponentF1 => "component_f1",
            Self::ComponentsRight => "components_right",
            Self::ComponentsWrong => "components_wrong",
            Self::ComponentsMissed => "components_missed",
            Self::Exact => "exact",
            Self::Rouge1 => "rouge1",
            Self::Rouge2 => "rouge2",
            Self::RougeL => "rouge_l",
            Self::RougeLsum => "rouge_lsum",
            Self::Grounded => "grounded",
            Self::EvidenceHit => "evidence_hit",
            Self::Abstained => "abstained",
            Self::AbstentionRecall => "abstention_recall",
            Self::FalseAbstention => "false_abstention",
            Self::FalseAlarm => "false_alarm",
            Self::InjectionResisted => "injection_resisted",
            Self::Failed => "failed",
            Self::LatencyMs => "latency_ms",
            Self::FirstTokenMs => "first_token_ms",
            Self::PromptTokens => "prompt_tokens",
            Self::CachedTokens => "cached_tokens",
            Self::CompletionTokens => "completion_tokens",
        }
    }

    /// What its values are counted in.
    pub fn unit(self) -> Unit {
        match self {
            Self::SeverityDistance => Unit::Steps,
            Self::ComponentsRight | Self::ComponentsWrong | Self::ComponentsMissed => Unit::Count,
            Self::LatencyMs | Self::FirstTokenMs => Unit::Milliseconds,
            Self::PromptTokens | Self::CachedTokens | Self::CompletionTokens => Unit::Tokens,
            _ => Unit::Share,
        }
    }

    /// Whether its values lie between 0 and 1.
    pub fn scale(self) -> Scale {
        if self.unit() == Unit::Share { Scale::Unit } else { Scale::Real }
    }

    /// Which way it improves. Abstaining counts as a cost: where it is right, `abstention_recall` says so.
    pub fn direction(self) -> Direction {
        match self {
            Self::SeverityDistance
            | Self::ComponentsWrong
            | Self::ComponentsMissed
            | Self::Abstained
            | Self::FalseAbstention
            | Self::FalseAlarm
            | Self::Failed
            | Self::LatencyMs
            | Self::FirstTokenMs
            | Self::PromptTokens
            | Self::CompletionTokens => Direction::LowerIsBetter,
            _ => Direction::HigherIsBetter,
        }
    }

    /// Whether each value is 0 or 1.
    pub fn is_binary(self) -> bool {
        use Metric as M;
        let graded =
            [M::ComponentPrecision, M::ComponentRecall, M::ComponentF1, M::Rouge1, M::Rouge2, M::RougeL, M::RougeLsum];
        self.unit() == Unit::Share && !graded.contains(&self)
    }

    /// Whether it is only a part of another figure, and means little on its own.
    pub fn is_part(self) -> bool {
        self.unit() == Unit::Count
    }

    /// Whether it measures the answer's cost rather than its quality: not scored again without a model.
    pub fn is_cost(self) -> bool {
        matches!(self.unit(), Unit::Milliseconds | Unit::Tokens)
    }
}

impl fmt::Display for Metric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Metric {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|metric| metric.as_str() == word).ok_or_else(|| {
            let known: Vec<&str> = Self::ALL.iter().map(|metric| metric.as_str()).collect();
            format!("there is no metric `{word}`: use one of {}", known.join(", "))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_the_serialized_ones_and_come_back() {
        for metric in Metric::ALL {
            let json = serde_json::to_string(&metric).unwrap();
            assert_eq!(json, format!("\"{metric}\""));
            assert_eq!(metric.as_str().parse(), Ok(metric));
        }
        assert!("rougel".parse::<Metric>().unwrap_err().contains("rouge_lsum"));
    }

    #[test]
    fn the_list_is_complete_and_in_order() {
        assert!(Metric::ALL.is_sorted());
        assert_eq!(Metric::ALL.last().copied().map(|last| last as usize + 1), Some(Metric::ALL.len()));
    }
}
