//! What is shipped for Prometheus and Grafana asks for what the daemon has: each query of the
//! dashboard and of the alert rules, by its names against a recorded scrape, and evaluated by a
//! Prometheus of its own where there is one.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use super::support::{Client, Daemon, Home, Receiver, SOON, Step, until};
use super::{open_source, quick_endpoint};

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/packaging/monitoring");

/// A daemon of which each metric has something to say, and where it serves them.
fn busy(home: &mut Home, receiver: &Receiver) -> (Daemon, SocketAddr) {
    let key = rcgen::KeyPair::generate().expect("a key");
    let params = rcgen::CertificateParams::new(vec!["hooks.example".to_owned()]).expect("a name");
    let cert = home.write("cert.pem", &params.self_signed(&key).expect("signed").pem());
    let key = home.write("key.pem", &key.serialize_pem());
    let config =
        format!("[metrics]\nlisten = \"127.0.0.1:0\"\n[tls]\ncert = \"{cert}\"\nkey = \"{key}\"\n");
    let config = home.write("hookbox.toml", &config);
    home.args.extend(["--config".to_owned(), config]);
    home.args.extend(["--listen".to_owned(), "tls://127.0.0.1:0".to_owned()]);

    let daemon = home.start();
    daemon.await_log("metrics are served");
    let log = daemon.log_text();
    let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let line = lines.into_iter().find(|line| line["message"] == "metrics are served at /metrics");
    let address = line.and_then(|line| line["address"].as_str()?.parse().ok());

    open_source(&daemon, "in");
    daemon.done(&[
        "source",
        "create",
        "shut",
        "--verify",
        "github",
        "--secret",
        "0123456789abcdef0123456789abcdef",
    ]);
    receiver.always("/bad", Step::Status(500));
    quick_endpoint(&daemon, "app", &receiver.url("/app"), &[]);
    quick_endpoint(&daemon, "bad", &receiver.url("/bad"), &["--max-attempts", "1"]);
    quick_endpoint(&daemon, "later", &receiver.url("/later"), &[]);
    daemon.done(&["endpoint", "hold", "later"]);
    assert_ne!(daemon.post("/in/shut", &[], b"{}").status, 202);
    for n in 0..3 {
        daemon.accept("/in/in", &[], format!("{n}").as_bytes());
    }
    daemon.await_count("delivered", 3);
    daemon.await_count("dead", 3);
    daemon.await_count("held", 3);
    (daemon, address.expect("its address is logged"))
}

/// The queries of the dashboard, for all instances.
fn dashboard() -> Vec<String> {
    let text =
        std::fs::read_to_string(format!("{FOLDER}/hookbox-dashboard.json")).expect("it is there");
    let board: Value = serde_json::from_str(&text).expect("JSON");
    let panels = board["panels"].as_array().expect("panels");
    let targets = panels.iter().flat_map(|panel| panel["targets"].as_array().expect("targets"));
    let found: Vec<String> = targets
        .map(|target| target["expr"].as_str().expect("a query").replace("$instance", ".+"))
        .collect();
    assert!(found.len() >= panels.len() && panels.len() >= 18, "{}", found.len());
    found
}

/// The queries of the alert rules.
fn alerts() -> Vec<String> {
    let text =
        std::fs::read_to_string(format!("{FOLDER}/hookbox-alerts.yml")).expect("it is there");
    let rules = text.lines().filter_map(|line| line.trim().strip_prefix("expr: "));
    rules.map(str::to_owned).collect()
}

#[test]
fn each_alert_has_a_test() {
    let read =
        |file: &str| std::fs::read_to_string(format!("{FOLDER}/{file}")).expect("it is there");
    let (rules, tests) = (read("hookbox-alerts.yml"), read("hookbox-alerts-test.yml"));
    let names = rules.lines().filter_map(|line| line.trim().strip_prefix("- alert: "));
    let names: Vec<&str> = names.collect();
    assert_eq!(names.len(), alerts().len(), "each has an expression");
    for name in names {
        assert!(tests.contains(&format!("alertname: {name}\n")), "{name} has no test");
    }
}

/// The words of a query, outside of its texts.
fn words(query: &str) -> Vec<String> {
    let plain: String = query.split('"').step_by(2).collect::<Vec<_>>().join(" ");
    let of = |c: char| !(c.is_ascii_alphanumeric() || c == '_');
    plain.split(of).filter(|word| !word.is_empty()).map(str::to_owned).collect()
}

/// Words of the language, as far as our queries have them.
const LANGUAGE: &[&str] = &[
    "absent",
    "and",
    "by",
    "delta",
    "histogram_quantile",
    "max",
    "min",
    "on",
    "rate",
    "sum",
    "time",
];

/// The labels of each metric of a scrape, with those that Prometheus adds.
fn scraped(page: &str) -> BTreeMap<String, BTreeSet<String>> {
    let mut found: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for line in page.lines().filter(|line| !line.starts_with('#')) {
        let end = line.find(['{', ' ']).unwrap_or(line.len());
        let labels = found.entry(line[..end].to_owned()).or_default();
        labels.extend(["instance".to_owned(), "job".to_owned()]);
        let within = line[end..].strip_prefix('{').and_then(|rest| rest.rsplit_once('}'));
        let names = within.map(|(labels, _)| words(&labels.replace('=', " "))).unwrap_or_default();
        labels.extend(names);
    }
    found
}

#[test]
fn every_query_names_metrics_and_labels_that_a_scrape_has() {
    let (mut home, receiver) = (Home::new(), Receiver::start());
    let (daemon, _) = busy(&mut home, &receiver);
    let known = scraped(&daemon.done(&["metrics"]).stdout);
    assert!(known["hookbox_refused_total"].contains("reason"), "{known:?}");

    let queries = [dashboard(), alerts()].concat();
    for query in &queries {
        let words = words(query);
        let is_metric =
            |word: &&String| word.starts_with("hookbox_") || word.starts_with("process_");
        let metrics: Vec<&String> = words.iter().filter(is_metric).collect();
        assert!(!metrics.is_empty(), "{query}");
        let mut labels = BTreeSet::new();
        for metric in metrics {
            let of = known.get(metric.as_str());
            labels.extend(of.unwrap_or_else(|| panic!("no scrape has {metric}: {query}")).clone());
        }

        // What is left are labels, numbers and spans.
        for word in words.iter().filter(|word| !is_metric(word)) {
            let is_number = word.starts_with(|c: char| c.is_ascii_digit());
            assert!(
                is_number || LANGUAGE.contains(&word.as_str()) || labels.contains(word),
                "no metric of it has the label {word}: {query}"
            );
        }
    }
}

/// A Prometheus that scrapes one address, ended with the test.
struct Prometheus {
    child: Child,
    address: SocketAddr,
}

impl Prometheus {
    /// `None` where there is none.
    fn start(home: &Home, scraped: SocketAddr) -> Option<Self> {
        let config = format!(
            "global: {{scrape_interval: 200ms, evaluation_interval: 200ms}}\n\
             rule_files: [{FOLDER}/hookbox-alerts.yml]\n\
             scrape_configs:\n\
             - {{job_name: hookbox, static_configs: [{{targets: ['{scraped}']}}]}}\n"
        );
        let config = home.write("prometheus.yml", &config);
        let mut started = Command::new("prometheus");
        started.arg(format!("--config.file={config}"));
        started.arg(format!("--storage.tsdb.path={}", home.path().join("tsdb").display()));
        started.args(["--web.listen-address=127.0.0.1:0", "--log.format=logfmt"]);
        let mut child = started
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .ok()?;

        let mut lines = BufReader::new(child.stderr.take().expect("a pipe")).lines();
        let mut said = Vec::new();
        let address = lines.by_ref().map_while(Result::ok).find_map(|line| {
            let found = line
                .split_once("msg=\"Listening on\" address=")
                .map(|(_, rest)| rest.split_whitespace().next().unwrap_or_default().to_owned());
            said.push(line);
            found
        });
        std::thread::spawn(move || lines.for_each(drop));
        let address = address.unwrap_or_else(|| panic!("it did not start: {said:#?}"));
        Some(Self { child, address: address.parse().expect("an address") })
    }

    fn get(&self, path: &str) -> Value {
        let answer = Client::connect(self.address).and_then(|mut client| client.get(path));
        serde_json::from_slice(&answer.expect("an answer").body).unwrap_or(Value::Null)
    }

    /// How many series a query gives that have a value.
    fn series(&self, query: &str) -> usize {
        let encoded: String = query.bytes().map(|byte| format!("%{byte:02X}")).collect();
        let answer = self.get(&format!("/api/v1/query?query={encoded}"));
        assert_ne!(answer["status"], "error", "{query}: {answer}");
        let found = answer["data"]["result"].as_array();
        let has_value = |series: &&Value| series["value"][1].as_str().is_some_and(|v| v != "NaN");
        found.map_or(0, |found| found.iter().filter(has_value).count())
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
#[ignore = "needs prometheus; run: just with-tools"]
fn a_prometheus_answers_every_query_of_the_dashboard() {
    let (mut home, receiver) = (Home::new(), Receiver::start());
    let (daemon, address) = busy(&mut home, &receiver);
    let prometheus =
        Prometheus::start(&home, address).expect("prometheus (apt install prometheus)");

    // What counts something in five minutes needs something that is counted between two scrapes.
    for query in dashboard() {
        until(&query, SOON, || {
            daemon.accept("/in/in", &[], b"another");
            assert_ne!(daemon.post("/in/shut", &[], b"{}").status, 202);
            (prometheus.series(&query) > 0).then_some(())
        });
    }

    // The alerts are evaluated as well, and those that are about what is wrong here are on.
    let alert = |name: &str| {
        let rules = prometheus.get("/api/v1/rules");
        let groups = rules["data"]["groups"].as_array().cloned().unwrap_or_default();
        let all =
            groups.iter().flat_map(|group| group["rules"].as_array().cloned().expect("rules"));
        all.into_iter().find(|rule| rule["name"] == name).unwrap_or_default()
    };
    for (name, state) in [
        ("HookboxAbsent", "inactive"),
        ("HookboxNotAccepting", "inactive"),
        ("HookboxDamaged", "inactive"),
        ("HookboxEndpointWaitsForYou", "pending"),
        ("HookboxDeadLetters", "firing"),
    ] {
        until(name, SOON, || {
            let rule = alert(name);
            (rule["health"] == "ok" && rule["state"] == state).then_some(())
        });
    }
}
