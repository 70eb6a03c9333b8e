"""Windows and normal lines cut from the captures on the training side of golden/split.toml.

Components, addresses and paths are drawn anew. A capture of the golden side is never opened.
"""
import gzip
import os
import re
import tomllib

import loglines as L

# source in split.toml -> (label, severity, program, lines that show the cause, lines that are not normal either)
TABLE = {
    "etcd/etcd-client-untrusted-cert": ("certificate_untrusted", "e", "etcd", r"rejected connection.*unknown authority", None),
    "prometheus/prom-bad-config": ("config_invalid", "c", "prometheus", r"Error (re)?loading config.*scrape_intervall", r"level=error"),
    "llama-server/llama-permission-denied": ("permission_denied", "c", "llama-server", r"failed to open GGUF file.*Permission denied", r" E "),
    "alertmanager/am-webhook-dns": ("dns_resolution_failure", "e", "alertmanager", r"name resolution", r"level=(error|warn)"),
    "llama-server/llama-bad-chat-template": ("config_invalid", "c", "llama-server", r"Parser Error|chat template is not supported", r" E "),
    "prometheus/prom-port-in-use": ("port_conflict", "c", "prometheus", r"address already in use", r"level=error"),
    "containerd/containerd-pull-429": ("rate_limited", "e", "containerd", r"429", r"level=(error|warning)"),
    "haproxy/haproxy-header-too-big": ("size_limit_exceeded", "e", "haproxy", r" 502 \d+ - - PH--", r" 50\d "),
    "nginx/nginx-injection-path": ("network_unreachable", "e", "nginx", r"connect\(\) failed \(111: Connection refused\)", r"\[error\]| 50\d |[Ii]gnore"),
    "loki/config-missing": ("config_invalid", "c", "loki", r"does not exist", None),
    "loki/query-parse-errors": ("query_invalid", "e", "loki", r"level=warn.*parse error", r"parse error|status=400|Code\(400\)"),
    "containerd/containerd-bad-config": ("config_invalid", "c", "containerd", r"failed to unmarshal TOML", r"level=error"),
    "alertmanager/am-nflog-corrupt": ("data_corruption", "c", "alertmanager", r"proto: ", r"level=error"),
    "loki/config-bad-duration": ("config_invalid", "c", "loki", r"not a valid duration", None),
    "llama-server/llama-unknown-arg": ("config_invalid", "c", "llama-server", r"invalid argument", r" E |error"),
    "tempo/tempo-unknown-key": ("config_invalid", "c", "tempo", r"field \w+ not found", r"failed parsing"),
    "loki/sample-in-future": ("timestamp_rejected", "e", "loki", r"timestamp too new", r"Code\(400\)|write operation failed"),
    "loki/max-label-names": ("cardinality_exceeded", "e", "loki", r"label names; limit", r"Code\(400\)|write operation failed"),
    "loki/config-unknown-field": ("config_invalid", "c", "loki", r"not found in type", None),
    "etcd/etcd-datadir-permission": ("permission_denied", "c", "etcd", r"permission denied", r'"level":"(fatal|error)"'),
    "nginx/nginx-body-too-large": ("size_limit_exceeded", "e", "nginx", r"client intended to send too large body", r" 413 |\[error\]"),
    "nginx/nginx-header-too-big": ("size_limit_exceeded", "e", "nginx", r"upstream sent too big header", r" 502 |\[error\]"),
    "loki/max-query-series": ("query_limit_exceeded", "e", "loki", r"level=warn.*maximum number of series", r"maximum number of series|Code\(400\)|status=400"),
    "rsyslog/rsyslog-permission": ("permission_denied", "e", "rsyslog", r"open error: Permission denied", r"suspended|resumed"),
    "loki/malformed-push": ("data_malformed", "e", "loki", r"couldn't parse push request", r"write operation failed|Code\(400\)"),
    "haproxy/haproxy-cert-missing": ("config_invalid", "c", "haproxy", r"unable to stat SSL certificate", r"ALERT"),
    "containerd/containerd-pull-x509": ("certificate_untrusted", "e", "containerd", r"unknown authority", r"level=(error|warning)"),
    "loki/memberlist-join-failed": ("network_unreachable", "c", "loki", r"failed to join 127.*connection refused", r"memberlist.*level=(error|warn)|level=(error|warn).*memberlist"),
    "prometheus/prom-duplicate-timestamps": ("timestamp_rejected", "w", "prometheus", r"different value but same timestamp", None),
    "prometheus/prom-remote-write-401": ("auth_denied", "e", "prometheus", r"non-recoverable error.*401", r"level=error"),
    "llama-server/llama-port-in-use": ("port_conflict", "c", "llama-server", r"couldn't bind HTTP server socket", r" E "),
    "node-exporter/node-ntp-unreachable": ("network_unreachable", "w", "node_exporter", r"couldn't get SNTP reply", r"level=(error|warn)"),
    "containerd/containerd-snapshotter-missing": ("config_invalid", "c", "containerd", r"failed to find snapshotter", r"level=(error|fatal)"),
    "loki/config-bad-yaml": ("config_invalid", "c", "loki", r"go-yaml load error", None),
    "tempo/tempo-ingestion-limit": ("rate_limited", "e", "tempo", r"RATE_LIMITED", r"level=(error|warn)"),
    "alertmanager/am-permission-denied": ("permission_denied", "c", "alertmanager", r"permission denied", r"level=error"),
    "loki/too-far-behind": ("timestamp_rejected", "e", "loki", r"too far behind", r"Code\(400\)|write operation failed"),
    "etcd/etcd-auth-denied": ("auth_denied", "e", "etcd", r"invalid auth", r"Unauthenticated"),
    "prometheus/prom-rule-bad-template": ("config_invalid", "e", "prometheus", r"loading groups failed|Expanding alert template failed", r"level=(error|warn)"),
    "tempo/healthy-probe": ("none", "i", "tempo", None, None),
    "loki/healthy-idle": ("none", "i", "loki", None, None),
    "etcd/etcd-healthy-rolling": ("none", "i", "etcd", None, None),
}
PHRASES = ("{} cannot run: {}.", "{} keeps failing: {}.", "{} is degraded: {}.")


def disguise(r, line):
    """Draws addresses, file names' parts and long hex numbers anew."""
    seen = {}
    def anew(kind):
        return lambda m: seen.setdefault(m.group(0), kind(m.group(0)))
    line = re.sub(r"\b(?:10|172|192)\.\d+\.\d+\.\d+\b", anew(lambda _: L.ip(r)), line)
    line = re.sub(r"/(?:srv|var/lib|etc)/[a-z]+(?=[/\". ])", anew(lambda _: "/".join(L.path(r).split("/")[:3])), line)
    return re.sub(r"\b[0-9a-f]{12,16}\b", anew(lambda x: f"{r.getrandbits(4 * len(x)):0{len(x)}x}"), line)


class Captures:
    """The training captures: whole logs, and the pool of their normal lines."""

    def __init__(self, golden):
        with open(os.path.join(golden, "split.toml"), "rb") as f:
            captures = tomllib.load(f)["capture"]
        self.sources, self.noise = [], []
        for c in captures:
            path = os.path.join(golden, "captures", c["id"] + ".log.gz")
            if c["side"] != "training" or c["source"] not in TABLE or not os.path.exists(path):
                continue
            with gzip.open(path, "rt", encoding="utf-8", errors="replace") as f:
                lines = [x.rstrip("\n")[:1500] for x in f if x.strip()]
            label, sev, prog, shows, odd = TABLE[c["source"]]
            marks = [bool(shows and re.search(shows, x)) for x in lines]
            bad = [m or bool(odd and re.search(odd, x)) for m, x in zip(marks, lines)]
            calm = [x for x, b in zip(lines, bad) if not b]
            if len(calm) > 20:
                self.noise.append((prog, calm[: len(calm) if label == "none" else max(20, int(len(calm) * 0.8))]))
            if label == "none" or any(marks):
                self.sources.append((label, sev, prog, lines, marks, bad))

    def run(self, r, prog, n):
        """`n` normal lines in a row from one capture."""
        _, lines = r.choice(self.noise)
        i = r.randrange(max(1, len(lines) - n))
        return [disguise(r, x) for x in lines[i:i + n]]

    def program(self, r):
        """A program of which normal lines are at hand."""
        return r.choice(sorted({p for p, _ in self.noise}))

    def lines(self, r, prog, n):
        """At most `n` normal lines in a row of one capture of `prog`."""
        lines = r.choice([x for p, x in self.noise if p == prog])
        i = r.choice([0, r.randrange(max(1, len(lines) - n))])
        return [disguise(r, x) for x in lines[i:i + n]]

    def case(self, r, ident, words):
        """A window of one capture, sometimes with another program's lines between, as a case."""
        label, sev, prog, lines, marks, bad = r.choice(self.sources)
        quiet = label == "none"
        n = r.choice([2, 4, 8, 15, 30, 60, 150, 300])
        if quiet:
            a = r.randrange(max(1, len(lines) - n))
        else:
            hit = r.choice([i for i, m in enumerate(marks) if m])
            a = max(0, hit - r.randint(0, n))
        b = min(len(lines), a + n + r.randint(0, n // 2))
        if not quiet and b <= hit:
            b = hit + 1
        name = prog if r.random() < 0.4 else L.component(r)
        app = L.new_app(r, name)
        streams, rows = [app["labels"]], []
        t = start = r.randint(1_700_000_000, 1_800_000_000) * 10 ** 9
        for i in range(a, b):
            t += r.randint(10 ** 6, 2 * 10 ** 9)
            rows.append((t, 0, disguise(r, lines[i]), marks[i]))
        if r.random() < 0.4 and self.noise:
            other = L.new_app(r)
            if other["name"] != name:
                streams.append(other["labels"])
                rows += [(r.randint(start, t + 1), 1, x, False) for x in self.run(r, "", r.randint(1, 12))]
        rows.sort(key=lambda x: x[0])
        target = {"severity": {"c": "critical", "e": "error", "w": "warning", "i": "info"}[sev], "root_cause": label, "accept": [], "components": [] if quiet else [name],
                  "summary": "No fault: these lines show normal operation." if quiet else PHRASES["cew".index(sev)].format(name, words[label][0]),
                  "decisive": [i for i, x in enumerate(rows) if x[3]]}
        return {"id": ident, "family": "captured", "split": "no-fault" if quiet else "standard", "difficulty": "medium", "cluster": ident, "streams": streams,
                "entries": [[str(t), s, x] for t, s, x, _ in rows], "target": target, "provenance": {"program": prog, "version": "1", "fault": label, "how": "window of a training capture"}}
