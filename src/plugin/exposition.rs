//! From OpenMetrics to the older text format, without what that has no words for: exemplars, units, the end.
//!
//! Grafana serves a plugin's metrics as `text/plain`, and a Prometheus that is told so refuses a single exemplar.

use std::fmt::Write;

/// Where the exemplar of a sample begins. In a label's value the quotation mark would be escaped.
const EXEMPLAR: &str = " # {trace_id=\"";

/// The metrics in the text format, version 0.0.4.
pub(super) fn plain(openmetrics: &str) -> String {
    let (mut plain, mut help) = (String::with_capacity(openmetrics.len()), None);
    for line in openmetrics.lines() {
        let mut words = line.splitn(4, ' ');
        // Writing to a String does not fail.
        let _ = match [(); 4].map(|()| words.next()) {
            [Some("#"), Some("HELP"), Some(_), text] => {
                help = text;
                Ok(())
            }
            [Some("#"), Some("TYPE"), Some(family), Some(kind)] => {
                // In this format a family is called what its samples are called.
                let (suffix, kind) = match kind {
                    "counter" => ("_total", kind),
                    "info" => ("_info", "gauge"),
                    _ => ("", kind),
                };
                let help = help.take().unwrap_or_default();
                writeln!(plain, "# HELP {family}{suffix} {help}\n# TYPE {family}{suffix} {kind}")
            }
            [Some("#"), ..] => Ok(()),
            _ => writeln!(plain, "{}", without_exemplar(line)),
        };
    }
    plain
}

fn without_exemplar(sample: &str) -> &str {
    let end = sample.rfind(EXEMPLAR);
    end.map_or(sample, |end| &sample[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_older_format_has_no_words_for_is_left_out() {
        let openmetrics = "# HELP a_build The version.\n# TYPE a_build info\na_build_info{version=\"1\"} 1\n\
            # HELP a_asked Questions, # {trace_id= or not.\n# TYPE a_asked counter\n\
            a_asked_total{name=\"b # {trace_id=\\\"c\"} 2 # {trace_id=\"0af7\"} 1.0 17.5\na_asked_total{name=\"d\"} 1\n\
            # HELP a_took_seconds Time.\n# TYPE a_took_seconds histogram\n# UNIT a_took_seconds seconds\n\
            a_took_seconds_bucket{le=\"+Inf\"} 1 # {trace_id=\"0af7\"} 0.5 17.5\na_took_seconds_sum 0.5\n# EOF\n";
        let expected = "# HELP a_build_info The version.\n# TYPE a_build_info gauge\na_build_info{version=\"1\"} 1\n\
            # HELP a_asked_total Questions, # {trace_id= or not.\n# TYPE a_asked_total counter\n\
            a_asked_total{name=\"b # {trace_id=\\\"c\"} 2\na_asked_total{name=\"d\"} 1\n\
            # HELP a_took_seconds Time.\n# TYPE a_took_seconds histogram\n\
            a_took_seconds_bucket{le=\"+Inf\"} 1\na_took_seconds_sum 0.5\n";
        assert_eq!(plain(openmetrics), expected);
    }
}
