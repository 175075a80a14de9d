//! The JSON schema of the file beside the reader: what is right fits it, what is wrong by itself does not.
//!
//! The words for a mistake are in `mistakes`.

use jsonschema::Validator;
use serde_json::Value;

use super::super::schema::schema;
use super::super::{names, template};
use super::mistakes::cases;

fn validator() -> Validator {
    jsonschema::validator_for(&schema()).unwrap()
}

fn json(toml: &str) -> Option<Value> {
    let table: toml::Table = toml.parse().ok()?;
    serde_json::to_value(table).ok()
}

#[test]
fn the_example_fits_and_every_key_of_a_file_is_described_and_of_a_known_sort() {
    let example = json(template()).unwrap();
    let validator = validator();
    let found: Vec<_> = validator.iter_errors(&example).map(|e| e.to_string()).collect();
    assert!(found.is_empty(), "{found:?}");
    let schema = schema();
    for (section, keys) in names::KEYS {
        let pointer = match section {
            "" => String::new(),
            "together" => "/properties/together/additionalProperties".to_owned(),
            "proxy.certificates" => "/properties/proxy/properties/certificates/items".to_owned(),
            "notify" => "/properties/notify/items".to_owned(),
            "app.hooks" => "/properties/app/additionalProperties/properties/hooks/items".to_owned(),
            "app.instances" => {
                "/properties/app/additionalProperties/properties/instances/anyOf/1".to_owned()
            }
            "app.rollout.metrics" => {
                let rollout = "/properties/app/additionalProperties/properties/rollout/properties";
                format!("{rollout}/metrics/items")
            }
            other => {
                let path = other.replacen('.', "/properties/", 9).replacen(
                    "app",
                    "app/additionalProperties",
                    1,
                );
                format!("/properties/{path}")
            }
        };
        for key in keys {
            let at = format!("{pointer}/properties/{key}");
            assert!(schema.pointer(&at).is_some(), "{at} is not in the schema");
        }
    }
}

/// Mistakes that stand in one value, so that a schema can find them.
const STRUCTURAL: [&str; 67] = [
    "unknown key, nearest name",
    "several mistakes are told together",
    "a key in the wrong section",
    "what others call it",
    "a key nobody knows",
    "an unknown section",
    "app misspelled",
    "app forgotten",
    "app without a name",
    "no app",
    "an empty file",
    "a bad app name",
    "command is missing",
    "command is a text",
    "command needs a shell",
    "command is empty",
    "command is a number",
    "command holds a number",
    "the program is empty",
    "a duration without a unit",
    "a duration without a unit, as text",
    "a duration with a fraction",
    "a duration with long units",
    "no duration at all",
    "zero instances",
    "too many instances",
    "instances below zero",
    "a number in quotes",
    "a number with a fraction",
    "rise and fall of zero",
    "a switch in quotes",
    "a section that is a value",
    "hosts is a text",
    "listen is a text",
    "threads",
    "an unknown strategy",
    "a share that is a percentage",
    "a share above one",
    "a limit of errors of nothing",
    "a limit of errors that is rounded to nothing",
    "a share that is no number",
    "unknown and doubled lanes",
    "no lanes",
    "a rate out of range",
    "a pace that there is not",
    "environment values that are not text",
    "environment names",
    "environment is a text",
    "a batch of no instance, in percent",
    "a batch of more than all, in percent",
    "a batch that is no whole percentage",
    "a batch that is a share, and a number in quotes",
    "a batch and a surge of the wrong sort",
    "a router nobody knows",
    "slots that nobody knows",
    "the API over TCP without a token",
    "the API over TCP without TLS",
    "an API that says nothing",
    "a token that is written down",
    "a token in two places",
    "a history of nothing",
    "a hand-over that nobody knows",
    "hand-overs of the wrong sort",
    "metrics that cannot be",
    "what a Prometheus is shown, and cannot be",
    "gates without metrics, and of no list",
    "ejections that cannot grow, and a share that is no percentage",
];

#[test]
fn what_is_wrong_by_itself_does_not_fit() {
    let validator = validator();
    let cases = cases();
    for heading in STRUCTURAL {
        let (_, toml, _) = cases.iter().find(|(known, _, _)| *known == heading).expect(heading);
        let value = json(toml).expect(heading);
        assert!(!validator.is_valid(&value), "`{heading}` fits the schema:\n{toml}");
    }
}

#[test]
fn what_the_reader_takes_fits() {
    // The schema asks for less than the reader: no file that the reader takes is refused by it.
    let validator = validator();
    for text in [
        "[app.web]\ncommand = [\"./server\"]\n",
        "[app.web]\ncommand = [\"a\"]\n[app.web.rollout]\nincident = \"resume\"\nstrategy = \"canary\"\n\
         steps = [\"25%\"]\nanalysis = { inconclusive = \"pause\" }\ngates = { \"25%\" = [\"a\", \"c\"], \"100%\" = [\"b\"] }\n\
         [[app.web.rollout.metrics]]\nname = \"a\"\nprometheus = \"http://[::1]:9090/p/\"\n\
         query = 'a{version=\"{version}\"}'\nmin = -1.5\ntoken = { from = \"A\" }\n\
         [[app.web.rollout.metrics]]\nname = \"c\"\nprometheus = \"https://a.test\"\nca = \"ca.pem\"\n\
         query = \"up\"\nmax = 1\nuser = \"me\"\npassword = { file = \"p\" }\n[[app.web.rollout.metrics]]\nname = \"b\"\n\
         command = [\"a\"]\nno_data = \"ignore\"\nfailures = 1\n",
        "[router]\nkind = \"consul\"\nsocket = \"s\"\ndirectory = \"h\"\nlisten = [\"127.0.0.1:80\"]\n\
         places = 3\ntoken = { file = \"t\" }\n[app.web]\ncommand = [\"a\"]\n",
        "[app.web]\ncommand = [\"a\"]\ninstances = 3\n[app.web.rollout]\nstrategy = \"rolling\"\nbatch = \"60%\"\n\
         surge = \"0%\"\n[app.api]\nhosts = [\"a.test\"]\ncommand = [\"a\"]\nrollout = { strategy = \"rolling\", surge = \"100%\" }\n",
        "[app.web]\ncommand = [\"a\"]\ninstances = 3\n[app.web.rollout]\nstrategy = \"canary\"\n\
         steps = [{ instances = 1 }, \"pause\", { instances = 3 }]\n\
         gates = { \"1 instance\" = [\"a\"], \"3 instances\" = [\"a\"] }\n\
         metrics = [{ name = \"a\", command = [\"a\"] }]\n",
        "[history]\nruns = 1\nlog_mib = 1\n[app.web]\ncommand = [\"a\", \"\"]\n[app.web.rollout]\n\
         strategy = \"canary\"\nsteps = [\"5%\"]\nsticky = \"cohort\"\ntarget = { query = \"a\", present = true }\n",
        "[router]\nkind = \"nginx\"\npid = \"p\"\nconfig = \"c\"\ndirectory = \"n\"\nlisten = [\"127.0.0.1:80\"]\nprogram = \"/usr/sbin/nginx\"\n\
         accept_reload_cuts = true\n[app.web]\ncommand = [\"a\"]\n",
        "[app.web]\ninstances = { consul = \"shop\", tag = \"{version}\", meta = { a = \"b\" }, at_least = 2 }\n\
         [app.api]\nhosts = [\"a.test\"]\ninstances = { dns = \"{version}.test\", server = \"[::1]:53\", port = 80 }\n",
        "[proxy]\nlisten = []\ntls_listen = [\"127.0.0.1:1\"]\ncertificates = [{ chain = \"c\", key = \"k\" }]\n\
         [app.web]\ncommand = [\"a\"]\n[app.web.probe]\nhost = \"a.test\"\nca = \"ca.pem\"\ntls = true\n",
        "[api]\nlisten = \"[::1]:1\"\nchain = \"c\"\nkey = \"k\"\ntoken = { file = \"t\" }\n\
         [app.web]\ncommand = [\"a\"]\nenvironment = { A = { from = \"B\" } }\nmaintenance = \"m.html\"\n",
    ] {
        assert!(super::parse(text, "cutover.toml").is_ok(), "{text}");
        let found: Vec<_> =
            validator.iter_errors(&json(text).unwrap()).map(|e| e.to_string()).collect();
        assert!(found.is_empty(), "{found:?}");
    }
}
