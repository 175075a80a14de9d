//! Which path is which route, and what a query says. Pure; it answers nothing.

/// Everything that the app answers, each with its own line in the metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Route {
    Page,
    Datetime,
    Version,
    Healthz,
    Metrics,
    Socket,
    Events,
    Slow,
    Upload,
    Download,
    Orders,
    /// The one that was asked for on the command line.
    Extra,
    Unknown,
}

impl Route {
    /// The route of a path; every path has one. `extra` is one more that is answered.
    pub(super) fn of(path: &str, extra: Option<&str>) -> Self {
        match path {
            "/" => Self::Page,
            "/datetime" => Self::Datetime,
            "/version" => Self::Version,
            "/healthz" => Self::Healthz,
            "/metrics" => Self::Metrics,
            "/ws" => Self::Socket,
            "/events" => Self::Events,
            "/slow" => Self::Slow,
            "/upload" => Self::Upload,
            "/download" => Self::Download,
            "/orders" => Self::Orders,
            _ if extra == Some(path) => Self::Extra,
            _ => Self::Unknown,
        }
    }

    /// The label in the metrics; the set is closed, so hostile paths cannot grow it.
    pub(super) const fn label(self) -> &'static str {
        match self {
            Self::Page => "/",
            Self::Datetime => "/datetime",
            Self::Version => "/version",
            Self::Healthz => "/healthz",
            Self::Metrics => "/metrics",
            Self::Socket => "/ws",
            Self::Events => "/events",
            Self::Slow => "/slow",
            Self::Upload => "/upload",
            Self::Download => "/download",
            Self::Orders => "/orders",
            Self::Extra => "extra",
            Self::Unknown => "other",
        }
    }

    /// Methods that it takes, as the `Allow` header says them.
    pub(super) const fn methods(self) -> &'static str {
        match self {
            Self::Upload => "POST, PUT",
            Self::Orders => "GET, POST",
            Self::Socket => "GET",
            _ => "GET, HEAD",
        }
    }

    /// False for the routes that watchers ask: no fault applies to them and they keep nobody up.
    pub(super) const fn business(self) -> bool {
        !matches!(self, Self::Healthz | Self::Metrics)
    }
}

/// The first value of `key` in a query, as it stands (nothing here needs percent-decoding).
pub(super) fn value<'q>(query: Option<&'q str>, key: &str) -> Option<&'q str> {
    query?.split('&').find_map(|pair| pair.strip_prefix(key)?.strip_prefix('='))
}

/// The number of `key`, `default` without one, or a sentence about what is wrong with it.
pub(super) fn number(
    query: Option<&str>,
    key: &str,
    default: u64,
    most: u64,
) -> Result<u64, String> {
    let Some(text) = value(query, key) else {
        return Ok(default);
    };
    let number = text.parse::<u64>().ok().filter(|number| *number <= most);
    number.ok_or_else(|| format!("{key} must be a whole number from 0 to {most}"))
}

#[cfg(test)]
mod tests {
    use super::{number, value};

    #[test]
    fn a_query_is_read_by_whole_keys() {
        let query = Some("xms=1&ms=20&ms=30");
        assert_eq!(value(query, "ms"), Some("20"));
        assert_eq!(value(query, "m"), None);
        assert_eq!(number(query, "ms", 7, 100), Ok(20));
        assert_eq!(number(None, "ms", 7, 100), Ok(7));
        assert!(number(Some("ms=101"), "ms", 7, 100).is_err());
        assert!(number(Some("ms=-1"), "ms", 7, 100).is_err());
    }
}
