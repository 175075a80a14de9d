//! Fuzz body of numbered messages. Frames are the `tungstenite` crate's to read.
//!
//! Which echo is late or lost is not tried here, but in `echo`.

use fuzz::corpus;

use super::echo::{Numbering, asks_to_reconnect};

#[test]
fn numbers_are_found_whole_or_not_at_all() {
    let words = &["seq=", " run=ab;", "run=", "12", "\u{e9}", "{\"message\":\"reconnect\"}"];
    fuzz::run(corpus!("messages").words(words), |case| {
        let text = case.text();
        let numbering = Numbering::new(0xab);
        if let Some(number) = numbering.find(&text) {
            // Zeros in front are what an app may add.
            let mark = format!("{number} run=ab;");
            assert!(text.contains(&mark), "{number} in {text:?}");
        }
        let own = numbering.text(case.random.u64(..));
        assert_eq!(numbering.find(&own).map(|number| numbering.text(number)), Some(own));
        if asks_to_reconnect(&text) {
            assert!(text.contains("reconnect") && text.trim_start().starts_with('{'));
        }
    });
}
