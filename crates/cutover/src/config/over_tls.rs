//! Reads of `[app.NAME.probe]` what the prober asks for by name, and whether it asks over TLS.
//!
//! Whether the certificate is one that it believes is not known here: that is tried before each deploy.

use std::net::SocketAddr;
use std::ops::Range;
use std::path::Path;

use super::diagnostic::Diagnostic;
use super::probed::{ProbeTls, Written};
use super::reader::Reader;
use super::section::Section;
use super::shape::{AppConfig, ProxyConfig, RouterConfig};
use super::{Judge, address};

/// Where users come in, as far as the prober is concerned.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Served {
    /// Over TLS.
    secure: Option<SocketAddr>,
    /// They do without TLS.
    plain: bool,
    /// By Cutover's own proxy.
    ours: bool,
}

impl Served {
    /// By the router that is configured, or else by our own proxy.
    pub(crate) fn by(
        router: &RouterConfig,
        (section, proxy): (&Section<'_>, &ProxyConfig),
    ) -> Self {
        let ours = *router == RouterConfig::Proxy;
        let secure = if ours { &proxy.tls_listen[..] } else { router.tls_listen() };
        let plain = !ours || !address::over_tls_alone(section);
        Self { secure: secure.first().copied(), plain, ours }
    }
}

/// Reads the keys; over TLS is the default where users come in like that alone.
pub(crate) fn read(
    (section, probe): (&Section<'_>, &Section<'_>),
    app: &mut AppConfig,
    (folder, judge, served): (&Path, Judge<'_>, Served),
    reader: &mut Reader,
) {
    app.probe.host = host(probe, app, reader);
    let field = probe.field("tls");
    let wanted = reader.switch(field.clone(), served.secure.is_some() && !served.plain);
    let odd = field.as_ref().is_some_and(|field| !field.value.is_bool());
    let ca = probe.field("ca");
    let ca_span = ca.as_ref().map(|ca| ca.span.clone());
    let place = field.map(|field| field.span).or_else(|| ca_span.clone());
    let place = place.unwrap_or_else(|| {
        if probe.is_there() { probe.span.clone() } else { section.span.clone() }
    });
    let ca = reader.text(ca).map(|file| folder.join(file));
    if !wanted {
        unneeded(ca_span.filter(|_| !odd), &place, (served, app), reader);
        return;
    }
    if let (Some(file), Some(span)) = (&ca, &ca_span)
        && let Err(fault) = (judge.ca)(file)
    {
        let help = fault.help.as_deref().unwrap_or("name a PEM file of those to trust");
        reader.push(Diagnostic::new(fault.what).at(span, "").help(help));
    }
    let Some(at) = served.secure else {
        if !probe.probably_has("tls") {
            reader.push(nobody_listens(&place, served.ours));
        }
        return;
    };
    if app.probe.enabled && app.a_host().is_none() && !probe.probably_has("host") {
        let what = "the prober is to ask over TLS, and nobody says which name to ask for";
        let help = format!(
            "write `host = \"shop.example\"` under `[{}]`, or `hosts` under `[{}]`: a name that the \
             certificate is for",
            probe.name, section.name
        );
        reader.push(Diagnostic::new(what).at(&place, "").help(help));
    }
    let written = Written(reader.place(&place));
    app.probe.tls = Some(ProbeTls { at, ca, written });
}

/// One name that the app answers for.
fn host(probe: &Section<'_>, app: &AppConfig, reader: &mut Reader) -> Option<String> {
    let field = probe.field("host")?;
    let span = field.span.clone();
    let text = reader.text(Some(field))?;
    let host = text.to_ascii_lowercase();
    let mut refuse = |what: String, help: &str| {
        reader.push(Diagnostic::new(what).at(&span, "").help(help));
    };
    if host.starts_with("*.") {
        refuse(format!("`{text}` is many names, and the prober asks for one"), "write one of them");
    } else if let Some(help) = address::objection(&host) {
        refuse(format!("`{text}` is not a host name"), &help);
    } else if !app.hosts.is_empty() && !app.hosts.iter().any(|known| covers(known, &host)) {
        let help = format!("write one of them, or add it to `hosts`: {}", app.hosts.join(", "));
        refuse(format!("the app does not answer for `{host}`: it is none of its `hosts`"), &help);
    }
    Some(host)
}

/// `*.shop.example` is every name below that one.
fn covers(known: &str, host: &str) -> bool {
    match known.strip_prefix('*') {
        Some(below) => host.len() > below.len() && host.ends_with(below),
        None => known == host,
    }
}

/// Refuses what says nothing without TLS, and a prober that would find nobody.
fn unneeded(
    ca: Option<Range<usize>>,
    place: &Range<usize>,
    (served, app): (Served, &AppConfig),
    reader: &mut Reader,
) {
    if let Some(ca) = ca {
        let what = "`ca` does nothing here: without TLS no certificate is shown";
        let help = "write `tls = true`, or remove this";
        reader.push(Diagnostic::new(what).at(&ca, "").help(help));
    }
    if !served.plain && app.probe.enabled {
        let what = "the prober is to ask without TLS, and nobody listens for that";
        let help = "remove the line, or name an address in `listen` under `[proxy]`";
        reader.push(Diagnostic::new(what).at(place, "").help(help));
    }
}

fn nobody_listens(place: &Range<usize>, ours: bool) -> Diagnostic {
    let help = if ours {
        "add `tls_listen = [\"0.0.0.0:443\"]` and `certificates` under `[proxy]`, or remove the line"
    } else {
        "write under `[router]` where users come in over TLS, such as `tls_listen = [\"127.0.0.1:443\"]`, \
         or remove the line"
    };
    Diagnostic::new("the prober is to ask over TLS, and nobody listens for it")
        .at(place, "")
        .help(help)
}

#[cfg(test)]
mod tests {
    use crate::config::tests::good;
    use crate::config::{AppConfig, Difference};

    const CERTIFICATE: &str = "certificates = [{ chain = \"c.pem\", key = \"k.pem\" }]\n";
    const EXACT: &str = "[app.web]\ncommand = [\"./server\"]\nhosts = [\"a.test\"]\n";
    const APP: &str = "[app.web]\ncommand = [\"./server\"]\nhosts = [\"*.b.test\", \"a.test\"]\n";

    fn app(proxy: &str, rest: &str) -> AppConfig {
        let text = format!("[proxy]\n{proxy}{CERTIFICATE}{APP}{rest}");
        good(&text).apps.into_values().next().unwrap()
    }

    #[test]
    fn it_asks_over_tls_where_users_have_nothing_else_or_where_it_is_told_to() {
        const ALONE: &str = "listen = []\ntls_listen = [\"0.0.0.0:443\", \"[::1]:444\"]\n";
        const BOTH: &str = "tls_listen = [\"127.0.0.1:443\"]\n";
        let alone = app(ALONE, "");
        let tls = alone.probe.tls.clone().unwrap();
        assert_eq!((tls.at, tls.ca), ("0.0.0.0:443".parse().unwrap(), None));
        assert_eq!(alone.a_host().as_deref(), Some("a.test"));
        assert_eq!(app(BOTH, "").probe.tls, None, "as before");
        let told = app(BOTH, "[app.web.probe]\ntls = true\nca = \"ca.pem\"\nhost = \"X.B.test\"\n");
        let tls = told.probe.tls.clone().unwrap();
        assert_eq!(tls.ca.as_deref(), Some(std::path::Path::new("ca.pem")));
        assert_eq!(told.a_host().as_deref(), Some("x.b.test"));
        // Nobody asks, so nobody has to know whom.
        let off = "[app.web]\ncommand = [\"a\"]\nprobe = { enabled = false }\n";
        good(&format!("[proxy]\n{ALONE}{CERTIFICATE}{off}"));
    }

    #[test]
    fn behind_a_router_of_the_users_it_asks_where_that_speaks_tls() {
        let nginx = "[router]\nkind = \"nginx\"\npid = \"p\"\nconfig = \"c\"\ndirectory = \"n\"\n\
                     listen = [\"127.0.0.1:80\"]\ntls_listen = [\"127.0.0.1:443\"]\n";
        let any = "[router]\nkind = \"consul\"\nfollower = \"any\"\nlisten = [\"127.0.0.1:80\"]\n\
                   tls_listen = [\"127.0.0.1:443\"]\n";
        let haproxy = "[router]\nkind = \"haproxy\"\nsocket = \"s\"\ndirectory = \"h\"\n\
                       listen = [\"127.0.0.1:80\"]\ntls_listen = [\"127.0.0.1:443\"]\n";
        for router in [nginx, any, haproxy] {
            let asked = format!("{router}{EXACT}[app.web.probe]\ntls = true\n");
            let app = good(&asked).apps.into_values().next().unwrap();
            assert_eq!(app.probe.tls.unwrap().at, "127.0.0.1:443".parse().unwrap(), "{router}");
            let plain = good(&format!("{router}{EXACT}")).apps.into_values().next().unwrap();
            assert_eq!(plain.probe.tls, None, "{router}");
        }
    }

    #[test]
    fn a_line_that_moves_in_the_file_changes_nothing() {
        let text = format!(
            "[proxy]\ntls_listen = [\"127.0.0.1:443\"]\n{CERTIFICATE}{APP}[app.web.probe]\ntls = true\n"
        );
        let (before, after) = (good(&text), good(&format!("\n\n# Moved.\n{text}")));
        let line = |config: &crate::config::Config| {
            let tls = config.apps.values().next().unwrap().probe.tls.clone().unwrap();
            tls.written.0.unwrap().line
        };
        assert_eq!((line(&before), line(&after)), (8, 11));
        assert_eq!(Difference::between(&before, &after), Difference::default());
        assert_eq!(format!("{before:?}"), format!("{after:?}"), "what tells two apart");
    }
}
