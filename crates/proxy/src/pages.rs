//! What is answered in the proxy's own name in place of a line of text: pages for errors, and for what
//! is out of service by intent.
//!
//! Files are read when the proxy is told of them and kept in memory. When one is answered is decided
//! elsewhere.

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use model::admin::{self, Maintenance};
use model::{AppName, Fault, Kind};

use crate::limits;

/// Endings of file names and what they mean.
const KINDS: [(&str, &str); 6] = [
    ("html", "text/html; charset=utf-8"),
    ("htm", "text/html; charset=utf-8"),
    ("txt", "text/plain; charset=utf-8"),
    ("json", "application/json"),
    ("xml", "application/xml"),
    ("svg", "image/svg+xml"),
];

/// The content of one page.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Page {
    /// Its `Content-Type`.
    pub(crate) kind: &'static str,
    /// It itself.
    pub(crate) content: Box<[u8]>,
}

/// All pages, and what is out of service.
#[derive(Clone, Debug, Default)]
pub(crate) struct Pages {
    errors: Vec<(Option<AppName>, u16, Arc<Page>)>,
    closed: Vec<(Option<AppName>, Option<Arc<Page>>)>,
}

impl Pages {
    /// Reads the files; those that cannot be read are named in the log and left out.
    pub(crate) fn read(told: &admin::Settings) -> Self {
        let page = |file: &Path| match read(file) {
            Ok(page) => Some(Arc::new(page)),
            Err(fault) => {
                tracing::warn!("{fault}; a line of text is answered instead");
                None
            }
        };
        let error = |told: &admin::Page| Some((told.app.clone(), told.status, page(&told.file)?));
        let closed =
            |Maintenance { app, file }: &Maintenance| (app.clone(), file.as_deref().and_then(page));
        Self {
            errors: told.pages.iter().filter_map(error).collect(),
            closed: told.maintenance.iter().map(closed).collect(),
        }
    }

    /// The page for an answer of that status: the app's own, else everybody's.
    pub(crate) fn error(&self, app: Option<&AppName>, status: u16) -> Option<&Arc<Page>> {
        let of = |whose: Option<&AppName>| {
            let fits =
                |one: &&(Option<AppName>, u16, _)| one.0.as_ref() == whose && one.1 == status;
            self.errors.iter().find(fits).map(|(.., page)| page)
        };
        of(app).or_else(|| of(None))
    }

    /// Whether an app is out of service by intent; whether everything is, if none is named.
    pub(crate) fn closes(&self, app: Option<&AppName>) -> bool {
        self.closed.iter().any(|(whose, _)| whose.is_none() || whose.as_ref() == app)
    }

    /// The page that says so: the app's own, else everybody's, else that of 503.
    pub(crate) fn closed(&self, app: Option<&AppName>) -> Option<&Arc<Page>> {
        let of = |whose: Option<&AppName>| {
            let mut fitting = self.closed.iter().filter(|one| one.0.as_ref() == whose);
            fitting.find_map(|(_, page)| page.as_ref())
        };
        of(app).or_else(|| of(None)).or_else(|| self.error(app, 503))
    }
}

/// Whether a file can be answered as a page.
///
/// # Errors
/// It cannot be read, is too large, or its name does not say what it is.
pub fn check_page(file: &Path) -> Result<(), Fault> {
    read(file).map(|_| ())
}

fn read(file: &Path) -> Result<Page, Fault> {
    let shown = file.display();
    let ending = file.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
    let known = KINDS.iter().find(|(known, _)| known.eq_ignore_ascii_case(ending));
    let Some((_, kind)) = known else {
        let endings: Vec<String> = KINDS.iter().map(|(ending, _)| format!(".{ending}")).collect();
        return Err(Fault::new(Kind::Usage, format!("what kind of page is {shown}?"))
            .help(format!("name a file that ends in one of {}", endings.join(", "))));
    };
    let open = || {
        // Opened only if it is a file: a pipe would be waited for.
        if !std::fs::metadata(file)?.is_file() {
            return Err(std::io::Error::other("it is no file"));
        }
        let mut content = Vec::new();
        File::open(file)?.take(limits::PAGE + 1).read_to_end(&mut content)?;
        Ok(content)
    };
    let content = open().map_err(|error| {
        Fault::new(Kind::Usage, format!("cannot read the page {shown}: {error}"))
            .help("name a file that the user who runs Cutover can read")
    })?;
    if content.len() as u64 > limits::PAGE {
        let what = format!("the page {shown} is larger than {} KiB", limits::PAGE / 1024);
        return Err(Fault::new(Kind::Usage, what)
            .help("pages are kept in memory; let a small one point to what is large"));
    }
    Ok(Page { kind, content: content.into_boxed_slice() })
}

#[cfg(test)]
mod tests {
    use model::AppName;
    use model::admin::{Maintenance, Page, Settings};

    use super::{Pages, check_page};

    #[test]
    fn an_app_has_its_own_page_else_everybodys() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, name).unwrap();
            path
        };
        let shop = AppName::new("shop").unwrap();
        let blog = AppName::new("blog").unwrap();
        let page = |app: Option<&AppName>, status, name| Page {
            app: app.cloned(),
            status,
            file: write(name),
        };
        let gone = Page { app: None, status: 404, file: folder.path().join("gone.html") };
        let settings = Settings {
            pages: vec![page(None, 502, "all.html"), page(Some(&shop), 502, "shop.json"), gone],
            maintenance: vec![Maintenance { app: Some(blog.clone()), file: None }],
            ..Settings::default()
        };
        let pages = Pages::read(&settings);
        let found = |app, status| {
            let page = pages.error(app, status)?;
            Some((page.kind, String::from_utf8(page.content.to_vec()).unwrap()))
        };
        let all = Some(("text/html; charset=utf-8", "all.html".to_owned()));
        assert_eq!(found(Some(&shop), 502), Some(("application/json", "shop.json".to_owned())));
        assert_eq!((found(Some(&blog), 502), found(None, 502)), (all.clone(), all));
        assert_eq!((found(Some(&shop), 503), found(None, 404)), (None, None));
        assert!(pages.closes(Some(&blog)) && !pages.closes(Some(&shop)) && !pages.closes(None));
    }

    #[test]
    fn only_small_files_of_a_known_kind_are_pages() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        std::fs::write(path("fits.html"), vec![b'x'; 256 * 1024]).unwrap();
        std::fs::write(path("large.html"), vec![b'x'; 256 * 1024 + 1]).unwrap();
        std::fs::write(path("page.exe"), "").unwrap();
        std::fs::create_dir(path("folder.html")).unwrap();
        let said = |name: &str| check_page(&path(name)).map_err(|fault| fault.what);
        assert!(said("fits.html").is_ok());
        assert!(said("large.html").unwrap_err().contains("larger than 256 KiB"));
        assert!(said("page.exe").unwrap_err().contains("what kind of page"));
        assert!(said("missing.html").unwrap_err().contains("cannot read"));
        assert!(said("folder.html").unwrap_err().contains("it is no file"));
    }
}
