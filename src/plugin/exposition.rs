//! The two text forms in which metrics are scraped.
//!
//! Grafana hands a plugin's metrics on as `text/plain`, whatever they are. Prometheus then reads its older form, in which an
//! exemplar is an error that costs the whole scrape. So Grafana gets that form, and whoever wants exemplars asks the
//! resource `metrics`, which says what it is.

/// The content type of OpenMetrics text.
pub(super) const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// OpenMetrics text in Prometheus' text form 0.0.4: without exemplars and units, and with the types which that form knows.
pub(super) fn classic(text: &str) -> String {
    let mut classic = String::with_capacity(text.len());
    let mut help = None;
    for line in text.lines() {
        if let Some(about) = line.strip_prefix("# HELP ") {
            help = about.split_once(' ');
        } else if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|about| about.split_once(' ')) {
            // There a counter's or an info's name is that of its samples.
            let (suffix, kind) = match kind {
                "counter" => ("_total", kind),
                "info" => ("_info", "gauge"),
                _ => ("", kind),
            };
            if let Some((_, text)) = help.take_if(|(helped, _)| *helped == name) {
                classic += &format!("# HELP {name}{suffix} {text}\n");
            }
            classic += &format!("# TYPE {name}{suffix} {kind}\n");
        } else if !line.starts_with('#') {
            classic += without_exemplar(line);
            classic.push('\n');
        }
    }
    classic
}

fn without_exemplar(sample: &str) -> &str {
    let (mut quoted, mut escaped) = (false, false);
    for (at, letter) in sample.char_indices() {
        match letter {
            _ if escaped => escaped = false,
            '\\' => escaped = quoted,
            '"' => quoted = !quoted,
            '#' if !quoted => return sample[..at].trim_end(),
            _ => {}
        }
    }
    sample
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_older_form_does_not_know_is_left_out() {
        let open = "# HELP a_build The version.\n# TYPE a_build info\na_build_info{version=\"1\"} 1\n\
                    # HELP a_seconds How long.\n# TYPE a_seconds histogram\n# UNIT a_seconds seconds\n\
                    a_seconds_bucket{le=\"1.0\",model=\"a \\\" # {b\"} 2 # {trace_id=\"c0\"} 0.5 1795525243.1\n\
                    # HELP a How often.\n# TYPE a counter\na_total{model=\" # {\"} 3\n# EOF\n";
        let classic_form = "# HELP a_build_info The version.\n# TYPE a_build_info gauge\na_build_info{version=\"1\"} 1\n\
                       # HELP a_seconds How long.\n# TYPE a_seconds histogram\n\
                       a_seconds_bucket{le=\"1.0\",model=\"a \\\" # {b\"} 2\n\
                       # HELP a_total How often.\n# TYPE a_total counter\na_total{model=\" # {\"} 3\n";
        assert_eq!(classic(open), classic_form);
    }
}
