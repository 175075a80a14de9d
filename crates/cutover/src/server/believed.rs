//! Whether an app's prober would believe the certificate that users are shown, asked before a deploy: else each
//! of its requests would fail, and the deploy with them.
//!
//! One handshake as the prober makes it; nothing is asked. Who is away is not judged here: that a proof is
//! missing then is the report's to say. Going back is never refused for a prober's sake.

use std::time::Duration;

use drivers::router::reachable;
use model::{Fault, Kind};
use probe::{Target, Tls, Unfit, knock};

use crate::config::{AppConfig, ProbeTls};

/// How long a handshake may take.
const LIMIT: Duration = Duration::from_secs(5);

/// Refuses what would make every request of the prober fail, with the place in the file.
pub(super) async fn believed(app: &AppConfig) -> Result<(), Fault> {
    let (true, Some(tls), Some(host)) = (app.probe.enabled, &app.probe.tls, app.a_host()) else {
        return Ok(());
    };
    let at = reachable(tls.at);
    let target = Target::parse(&format!("https://{at}{}", app.probe.path))?.with_host(&host)?;
    let believes = Tls { ca: tls.ca.clone(), ..Tls::default() };
    let Err(unfit) = knock(&target, at, (&believes, LIMIT)).await else { return Ok(()) };
    let (what, why, help) = words(&unfit, app, (tls, &host));
    let Some(what) = what else {
        tracing::warn!("nobody at {at} shakes hands with the prober of {} now: {why}", app.name);
        return Ok(());
    };
    let mut fault = Fault::new(Kind::Config, what).note(why).help(help);
    fault.place.clone_from(&tls.written.0);
    Err(fault)
}

/// What is wrong, if it is nothing that may be over in a moment; why; what to do.
fn words(
    unfit: &Unfit,
    app: &AppConfig,
    (tls, host): (&ProbeTls, &str),
) -> (Option<String>, String, String) {
    let (at, name) = (tls.at, &app.name);
    let of = format!("[app.{name}.probe]");
    match unfit {
        Unfit::File(fault) => {
            let what = format!("the prober of {name} cannot believe anybody: {}", fault.what);
            let why =
                "it would trust no certificate, so each of its requests would fail".to_owned();
            let help = format!("name a PEM file of those to trust as `ca` under {of}");
            (Some(what), why, fault.help.clone().unwrap_or(help))
        }
        Unfit::Name(why) => {
            let what =
                format!("the certificate at {at} is not for `{host}`, which the prober asks for");
            let help = format!(
                "write a name that it is for as `host` under {of}, or serve a certificate for `{host}`"
            );
            (Some(what), why.clone(), help)
        }
        Unfit::Stranger(why) => {
            let whom = tls
                .ca
                .as_ref()
                .map_or("this system trusts".to_owned(), |ca| format!("is in {}", ca.display()));
            let what = format!("the prober of {name} does not believe the certificate at {at}");
            let why = format!("nobody whose certificate {whom} has signed it ({why})");
            let help = format!(
                "name under {of} the file with the certificate of whoever signed it: `ca = \"ca.pem\"`"
            );
            (Some(what), why, help)
        }
        Unfit::Authority(why) => {
            let what = format!("the certificate at {at} is one that signs others, not a server's");
            let help = format!(
                "serve one without CA:TRUE (`openssl req -x509` makes it with \
                 `-addext basicConstraints=critical,CA:FALSE`), and name it, or whoever signed it, as \
                 `ca` under {of}"
            );
            (Some(what), why.clone(), help)
        }
        Unfit::Certificate(why) => {
            let what = format!("the certificate at {at} for `{host}` cannot be used");
            (Some(what), why.clone(), "serve one that is valid now, for this name".to_owned())
        }
        Unfit::Speech(why) => {
            let what = format!("the prober of {name} is to speak TLS at {at}, and cannot");
            let help = format!(
                "see that TLS is spoken there, or write `tls = false` under {of} if it is not"
            );
            (Some(what), why.clone(), help)
        }
        Unfit::Away(why) => (None, why.clone(), String::new()),
    }
}
