//! `source schemes`: the verification schemes, their settings, and an example of each. Needs no
//! daemon.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

use super::answer::Answer;
use super::args::SchemesArgs;
use super::clock::now_ms;
use super::error::CtlError;
use super::output::Output;
use super::table::{ALWAYS, Columns, Show, Table};
use crate::ingest::verify::{Need, Scheme, TABLE};
use crate::model::similar::nearest;

/// A scheme as it is shown.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct SchemeView {
    name: String,
    /// Where the proof is.
    header: String,
    algorithm: String,
    signed: String,
    replay: String,
    dedupe_key: String,
    #[serde(rename = "type")]
    event_type: String,
    methods: String,
    secret: String,
    public_key: String,
    public_url: bool,
    max_body: u64,
    settings: Vec<SchemeSetting>,
    example: String,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct SchemeSetting {
    key: String,
    value: String,
}

const SCHEMES: Columns<SchemeView> = &[
    ("SCHEME", Show::Id(|scheme| scheme.name.clone()), ALWAYS),
    ("PROOF", Show::Text(|scheme| scheme.header.clone()), ALWAYS),
    ("SECRET", Show::Text(|scheme| scheme.secret.clone()), ALWAYS),
    ("SIGNED", Show::Text(|scheme| scheme.signed.clone()), 1),
];

/// Lists them, or shows one.
pub(super) fn schemes(out: &mut Output, args: &SchemesArgs) -> Result<(), CtlError> {
    if let Some(name) = &args.scheme {
        let answer = Answer::of(&view(find(name)?))?;
        return out.one(&answer, described);
    }

    out.print_tables(args.table);
    list(out)
}

/// Lists them.
pub(super) fn list(out: &mut Output) -> Result<(), CtlError> {
    let mut table = Table::on(out.terminal, now_ms(), SCHEMES);
    for scheme in TABLE {
        out.row(&mut table, &Answer::of(&view(scheme))?)?;
    }
    out.end(&mut table, "")
}

fn find(name: &str) -> Result<&'static Scheme, CtlError> {
    TABLE.iter().find(|scheme| scheme.name == name).ok_or_else(|| {
        let meant = nearest(name, TABLE.iter().map(|scheme| scheme.name));
        let hint = meant.map(|meant| format!("; did you mean '{meant}'?")).unwrap_or_default();
        let what = format!("there is no scheme '{name}'{hint}: see `hookboxctl source schemes`");
        CtlError::Refused(what)
    })
}

fn view(scheme: &Scheme) -> SchemeView {
    let setting = |(key, value): &(&str, &str)| SchemeSetting {
        key: (*key).to_owned(),
        value: (*value).to_owned(),
    };
    let secret = match (scheme.secret, scheme.provider_makes_secret) {
        (Need::Unused, _) => "none",
        (_, true) => "the provider's",
        (Need::Required, false) => "yours or theirs",
        (Need::Optional, false) => "optional",
    };
    let public_key = match scheme.public_key {
        Need::Required => "required",
        Need::Optional => "optional",
        Need::Unused => "none",
    };

    SchemeView {
        name: scheme.name.into(),
        header: scheme.header.into(),
        algorithm: scheme.algorithm.into(),
        signed: scheme.signed.into(),
        replay: scheme.replay.into(),
        dedupe_key: scheme.dedupe.into(),
        event_type: scheme.kind.into(),
        methods: scheme.methods.into(),
        secret: secret.into(),
        public_key: public_key.into(),
        public_url: scheme.may_sign_url(),
        max_body: scheme.max_body,
        settings: scheme.params.iter().map(setting).collect(),
        example: example(scheme),
    }
}

/// A command that makes a source of this scheme.
fn example(scheme: &Scheme) -> String {
    let name = scheme.name;
    let mut command = format!("hookboxctl source create {} --verify {name}", example_name(name));
    match (scheme.secret, scheme.provider_makes_secret) {
        (Need::Required, false) if name == "apikey" => command.push_str(" --generate-secret"),
        (Need::Required, _) => command.push_str(" --secret-file ./secret"),
        (Need::Optional, _) if is_signed_with_secret(name) => {
            command.push_str(" --secret-file ./secret");
        }
        _ => {}
    }

    if scheme.public_key == Need::Required || name == "rfc9421" {
        command.push_str(" --public-key-file ./key.pem");
    }
    if scheme.may_sign_url() && name != "hmac" {
        command.push_str(" --public-url https://hooks.example.com/in/");
        command.push_str(example_name(name));
    }
    command + example_settings(name)
}

/// What a source of the scheme might be called.
fn example_name(scheme: &str) -> &str {
    match scheme {
        "none" | "hmac" | "apikey" | "jwt" | "mtls" | "rfc9421" | "standard-webhooks" => "app",
        scheme => scheme,
    }
}

/// Schemes that take a secret or a public key, and mostly a secret.
fn is_signed_with_secret(scheme: &str) -> bool {
    matches!(scheme, "standard-webhooks" | "svix" | "okta" | "cloudevents")
}

/// Settings without which a scheme takes nothing in.
fn example_settings(scheme: &str) -> &'static str {
    match scheme {
        "jwt" => {
            " --set jwks_url=https://issuer.example.com/keys --set \
             issuer=https://issuer.example.com --set audience=app"
        }

        "pubsub" => {
            " --set jwks_url=https://www.googleapis.com/oauth2/v3/certs --set \
             audience=https://hooks.example.com/in/pubsub --set \
             email=pusher@project.iam.gserviceaccount.com"
        }
        "dialogflow" => " --secret-file ./secret --set header=X-Key",
        "paypal" => " --set webhook_id=5GP028458E2496506 --set certs=fetch",
        "sns" => " --set topic=arn:aws:sns:eu-west-1:123456789012:orders --set certs=fetch",
        "travis" => " --set owners=example",
        "rfc9421" => " --set alg=ed25519",
        "mtls" => " --set subject=sender",
        "braintree" => " --set public_key=6yz2pwhrsm3wt8g8",
        "hmac" => " --set header=X-Signature --set prefix=sha256=",
        "apikey" => " --set in=header --set name=X-API-Key",
        _ => "",
    }
}

/// One scheme, for people.
fn described(scheme: &SchemeView) -> String {
    let mut screen = format!("{}\n\n", scheme.name);
    let url = if scheme.public_url {
        "may be signed: give --public-url, the URL as the provider has it"
    } else {
        "not signed"
    };
    let rows = [
        ("proof", scheme.header.as_str()),
        ("algorithm", &scheme.algorithm),
        ("signed", &scheme.signed),
        ("replay", &scheme.replay),
        ("dedupe key", &scheme.dedupe_key),
        ("type", &scheme.event_type),
        ("methods", &scheme.methods),
        ("secret", &scheme.secret),
        ("public key", &scheme.public_key),
        ("URL", url),
    ];
    for (label, value) in rows {
        let _ = writeln!(screen, "  {label:<11} {value}");
    }

    screen.push_str("\nsettings (--set KEY=VALUE)\n");
    if scheme.settings.is_empty() {
        screen.push_str("  none\n");
    }
    let width = scheme.settings.iter().map(|setting| setting.key.len()).max().unwrap_or(0);
    for SchemeSetting { key, value } in &scheme.settings {
        let _ = writeln!(screen, "  {key:<width$}  {value}");
    }
    let _ = writeln!(screen, "\nexample\n  {}", scheme.example);
    screen
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::{TABLE, example};
    use crate::api::Patch;
    use crate::ctl::args::{Cli, CtlCommand, SourceCommand};
    use crate::ingest::verify::{Need, unnamed_recipient};
    use crate::model::Source;

    #[test]
    fn each_example_makes_a_source_whose_proofs_name_their_recipient() {
        for scheme in TABLE {
            let line = example(scheme);
            let cli =
                Cli::try_parse_from(line.split(' ')).unwrap_or_else(|e| panic!("{line}: {e}"));
            let CtlCommand::Source(SourceCommand::Create { settings, .. }) = cli.command else {
                panic!("{line}");
            };
            let has_secret =
                settings.secret_file.is_some() || settings.spec.generate_secret == Some(true);
            match scheme.secret {
                Need::Required => assert!(has_secret, "{line}"),
                Need::Unused => assert!(!has_secret, "{line}"),
                Need::Optional => {}
            }
            let has_key = settings.public_key_file.is_some();
            assert!(has_key || scheme.public_key != Need::Required, "{line}");

            let mut source = Source::new("app", "none");
            let patch = Patch::new(settings.spec, &[]).expect("well-formed");
            patch.given.apply(&mut source, |_| scheme.max_body).expect("well-formed");
            let known = |key: &String| scheme.params.iter().any(|(name, _)| name == key);
            assert!(source.params.keys().all(known), "{line}");
            assert_eq!(unnamed_recipient(&source), None, "{line}");
        }
    }
}
