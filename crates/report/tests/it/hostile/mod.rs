//! Text that does not want to be text, and whether markup is whole.
//!
//! Which form must stand it is said in `renderings`, `ci` and `compare`.

use model::Class;
use model::attempt::Witness;
use report::Input;

use crate::sample;

/// Names and errors that want to be more than text.
pub(crate) const HOSTILE: [&str; 4] = [
    "</script><img src=x onerror=alert(1)>",
    "\x1b[31mred\x1b]0;owned\x07\u{9b}2J\r\nINJECTED",
    "\u{202e}txet\u{200b}\u{2028}&amp;\"' onload=\"alert(1)",
    "{old}{new}{url}",
];

/// A run in which every text of the other side holds `text`.
pub(crate) fn hostile(text: &str) -> Input {
    let mut input = sample::killed_before_drain();
    let own = |s: &str| format!("{s}{text}");
    input.run_id = own("");
    input.cutover_version = own("");
    input.url = own("http://x/");
    input.from = Some(own("v1"));
    input.to = Some(own("v2"));
    input.ending_note = Some(format!("{text}\n{text}"));
    input.header.lanes_not_run.push((model::Lane::Fresh, own("")));
    for span in &mut input.phases {
        span.why = own("");
    }
    for (i, a) in input.attempts.iter_mut().enumerate() {
        a.version = Some(if i % 7 == 0 {
            format!("{text}{}", i % 3)
        } else {
            own(if i < 2_000 { "v1" } else { "v2" })
        });
        a.witness = Some(Witness::Stamp);
        a.instance = Some(own(""));
        a.detail = Some(own(""));
        if i % 100 == 0 {
            a.class = Class::BadStatus;
        }
    }
    input
}

/// Every tag name seen, of tags that open or close; or what is not whole.
pub(crate) fn balance(page: &str) -> Result<Vec<String>, String> {
    const VOID: [&str; 3] = ["meta", "!DOCTYPE", "?xml"];
    let (mut open, mut seen) = (Vec::new(), Vec::new());
    let mut rest = page;
    while let Some(start) = rest.find('<') {
        let tail = &rest[start + 1..];
        let end = tail.find('>').ok_or("a tag without an end")?;
        let tag = &tail[..end];
        rest = &tail[end + 1..];
        let name =
            tag.trim_start_matches('/').split([' ', '/', '\n']).next().unwrap_or("").to_owned();
        if tag.starts_with('/') {
            let last = open.pop();
            if last.as_ref() != Some(&name) {
                return Err(format!("</{name}> closes {last:?}"));
            }
        } else if !tag.ends_with('/') && !VOID.contains(&name.as_str()) {
            open.push(name.clone());
        }
        if name == "script" && !tag.starts_with('/') {
            // What a script says is no markup.
            rest = &rest[rest.find("</script>").ok_or("a script without an end")?..];
        }
        seen.push(name);
    }
    if open.is_empty() { Ok(seen) } else { Err(format!("left open: {open:?}")) }
}
