//! Which version and instance an answer names, who says so, and what its client is to keep.
//!
//! Whether that version is the right one is not asked here.

use model::Attempt;
use model::attempt::Witness;

use crate::options::VersionFrom;
use crate::text;

/// Headers in which the sample app names its instance, and the own proxy instance and version.
const APP_INSTANCE: &str = "x-app-instance";
const STAMP_VERSION: &str = "x-cutover-version";
const STAMP_INSTANCE: &str = "x-cutover-instance";

/// Cookies read of one answer.
const COOKIES_MAX: usize = 32;

/// Bytes of a body kept to find the version in it.
const BODY_FOR_VERSION: usize = 16 * 1024;

/// Bytes of a body kept to show what was wrong with it.
const BODY_FOR_DETAIL: usize = 256;

/// What to look for in an answer.
#[derive(Clone, Debug)]
pub(crate) struct Reading {
    from: VersionFrom,
    /// Cookies are kept.
    cookies: bool,
}

impl Reading {
    pub(crate) fn new(from: VersionFrom, cookies: bool) -> Self {
        Self { from, cookies }
    }

    /// How many bytes of the body are needed.
    pub(crate) fn keeps(&self) -> usize {
        match self.from {
            VersionFrom::Header(_) => BODY_FOR_DETAIL,
            VersionFrom::JsonPath(_) | VersionFrom::Body => BODY_FOR_VERSION,
        }
    }

    /// Reads the headers, in the order in which they came.
    pub(crate) fn head<'a>(&self, headers: impl Iterator<Item = (&'a str, &'a [u8])>) -> Said {
        // What stands in a body stands in no header, too: two ways to call a version would be taken for two versions.
        let wanted = match &self.from {
            VersionFrom::Header(name) => Some(name.as_str()),
            VersionFrom::JsonPath(_) | VersionFrom::Body => None,
        };
        let mut said = Said::default();
        for (name, value) in headers {
            let place = if wanted.is_some_and(|wanted| name.eq_ignore_ascii_case(wanted)) {
                &mut said.app
            } else if name.eq_ignore_ascii_case(STAMP_VERSION) {
                &mut said.stamp
            } else if name.eq_ignore_ascii_case(APP_INSTANCE) {
                &mut said.app_instance
            } else if name.eq_ignore_ascii_case(STAMP_INSTANCE) {
                &mut said.stamp_instance
            } else {
                let kept = self.cookies && said.cookies.len() < COOKIES_MAX;
                if kept && name.eq_ignore_ascii_case("set-cookie") {
                    said.cookies.extend(std::str::from_utf8(value).map(str::to_owned));
                }
                continue;
            };
            if place.is_none() {
                *place = text::name(value);
            }
        }
        said
    }

    /// Reads the first bytes of a body, where the version stands in it. Any text would do where it is the first line: so
    /// an error page, or a body that was cut, says none there.
    pub(crate) fn body(&self, kept: &[u8], right: bool, said: &mut Said) {
        let found = match &self.from {
            VersionFrom::Header(_) => return,
            VersionFrom::Body if !right => return,
            VersionFrom::Body => kept.split(|&byte| byte == b'\n').next().and_then(text::name),
            VersionFrom::JsonPath(path) => json_field(kept, path),
        };
        if found.is_some() {
            said.app = found;
        }
    }
}

/// What an answer said of its origin.
#[derive(Clone, Debug, Default)]
pub(crate) struct Said {
    app: Option<String>,
    stamp: Option<String>,
    app_instance: Option<String>,
    stamp_instance: Option<String>,
    cookies: Vec<String>,
}

impl Said {
    /// The values of its `Set-Cookie` fields.
    pub(crate) fn cookies(&self) -> &[String] {
        &self.cookies
    }

    /// Writes it into the record: the app's own word before the proxy's stamp.
    pub(crate) fn tell(&self, attempt: &mut Attempt) {
        attempt.witness = match (&self.app, &self.stamp) {
            (Some(_), _) => Some(Witness::App),
            (None, Some(_)) => Some(Witness::Stamp),
            (None, None) => None,
        };
        attempt.version = self.app.clone().or_else(|| self.stamp.clone());
        attempt.instance = self.app_instance.clone().or_else(|| self.stamp_instance.clone());
    }
}

fn json_field(kept: &[u8], path: &str) -> Option<String> {
    let whole: serde_json::Value = serde_json::from_slice(kept).ok()?;
    let field = path.split('.').try_fold(&whole, |value, name| match value {
        serde_json::Value::Array(items) => items.get(name.parse::<usize>().ok()?),
        other => other.get(name),
    })?;
    match field {
        serde_json::Value::String(text) => text::name(text.as_bytes()),
        serde_json::Value::Number(number) => text::name(number.to_string().as_bytes()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::{Reading, Said, json_field};
    use crate::options::VersionFrom;

    #[test]
    fn a_version_that_stands_in_the_body_is_taken_from_nowhere_else() {
        let reading = Reading::new(VersionFrom::JsonPath("version".into()), false);
        let headers = [("x-app-version", &b"v2"[..]), ("x-cutover-version", b"stamp")];
        let told = |body: &[u8]| {
            let mut said = reading.head(headers.into_iter());
            reading.body(body, true, &mut said);
            let Said { app, stamp, .. } = said;
            (app, stamp)
        };
        let stamp = Some("stamp".to_owned());
        assert_eq!(told(br#"{"version":"2.0.1"}"#), (Some("2.0.1".to_owned()), stamp.clone()));
        // Such as an error page, or what is longer than what is kept.
        assert_eq!(told(br#"{"version":"2.0"#), (None, stamp));
    }

    #[test]
    fn the_first_line_of_an_error_or_of_a_cut_body_is_no_version() {
        let reading = Reading::new(VersionFrom::Body, false);
        let told = |right| {
            let mut said = reading.head(std::iter::empty());
            reading.body(b"v41\nand more", right, &mut said);
            said.app
        };
        assert_eq!((told(true).as_deref(), told(false)), (Some("v41"), None));
    }

    #[test]
    fn a_json_path_finds_text_and_numbers_and_nothing_else() {
        let body = br#"{"build":{"version":"v7","tags":["a",{"n":3}]}}"#;
        assert_eq!(json_field(body, "build.version").as_deref(), Some("v7"));
        assert_eq!(json_field(body, "build.tags.1.n").as_deref(), Some("3"));
        assert_eq!(json_field(body, "build"), None);
        assert_eq!(json_field(body, "build.version.x"), None);
        assert_eq!(json_field(&body[..20], "build.version"), None);
    }
}
