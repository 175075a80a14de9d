//! Reads where a document is sent: `url`, with `token` and `ca`.
//!
//! Nothing is sent here, and whether somebody listens there is not asked. An address is never shown beyond
//! its host: what follows may be a secret.

use std::path::Path;

use hyper::Uri;
use model::Post;
use toml::de::DeValue;

use super::diagnostic::Diagnostic;
use super::reader::Reader;
use super::section::Section;

const EXAMPLE: &str = "url = \"https://hooks.example.org/cutover\"";
const TOKEN: &str = "token = { from = \"HOOK_TOKEN\" }";

/// Reads it; `None` where there is no `url`, or a wrong one.
pub(crate) fn read(section: &Section<'_>, folder: &Path, reader: &mut Reader) -> Option<Post> {
    let field = section.field("url");
    let span = field.as_ref().map(|field| field.span.clone());
    let url = reader.text(field);
    let good = url.and_then(|url| Some((url, secure(url)?)));
    if let (Some(span), Some(_), None) = (&span, url, good) {
        let what = "`url` must be an address to send to, without a name or password in it";
        reader.push(Diagnostic::new(what).at(span, "").help(format!("write `{EXAMPLE}`")));
    }
    let token_from = token(section, reader);
    let ca = section.field("ca");
    if let Some(ca) = ca.as_ref().filter(|_| good.is_some_and(|(_, secure)| !secure)) {
        let what = "`ca` does nothing here: `http://` shows no certificate";
        reader.push(Diagnostic::new(what).at(&ca.span, "").help("write `https://`, or remove it"));
    }
    let ca = reader.text(ca).map(|file| folder.join(file).display().to_string());
    Some(Post { url: good?.0.to_owned(), token_from, ca })
}

/// Whether it is over TLS; `None` of what is no address.
fn secure(url: &str) -> Option<bool> {
    let uri: Uri = url.parse().ok()?;
    let authority =
        uri.authority().filter(|of| !of.as_str().contains('@') && !of.host().is_empty())?;
    let port = authority.as_str().rsplit_once(':').filter(|(_, port)| !port.ends_with(']'));
    if port.is_some_and(|(_, port)| port.parse::<u16>().is_err()) {
        return None;
    }
    match uri.scheme_str() {
        Some("https") => Some(true),
        Some("http") => Some(false),
        _ => None,
    }
}

fn token(section: &Section<'_>, reader: &mut Reader) -> Option<String> {
    let field = section.field("token")?;
    let from = match field.value {
        DeValue::Table(table) if table.len() == 1 => table.get("from"),
        _ => None,
    };
    let name = from.and_then(|from| from.get_ref().as_str());
    let name = name.filter(|name| !name.is_empty() && !name.contains(['=', '\0']));
    if name.is_none() {
        reader.hide(&field);
        let what = "`token` names the variable that holds the token, it is not the token";
        let help = format!("write `{TOKEN}`, and set HOOK_TOKEN where `cutover up` is started");
        reader.push(Diagnostic::new(what).at(&field.span, "").help(help));
    }
    name.map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::secure;

    #[test]
    fn addresses() {
        for (url, wanted) in [
            ("https://a.example/x?y=1", Some(true)),
            ("http://127.0.0.1:80", Some(false)),
            ("http://[::1]:8080/x", Some(false)),
            ("http://[::1]/x", Some(false)),
            ("ftp://a.example/", None),
            ("https://me:secret@a.example/", None),
            ("https:///x", None),
            ("a.example/x", None),
            ("http://a.example:99999/", None),
            ("/x", None),
            ("", None),
        ] {
            assert_eq!(secure(url), wanted, "{url}");
        }
    }
}
