//! Fuzz bodies of the nouns that are read from text: what is taken is fit for its place and says itself
//! again.
//!
//! Texts of whole files are not tried here: they have bodies beside their readers.

use fuzz::corpus;
use model::attempt::SampleLine;
use model::receipt::{Receipt, said, says};
use model::survey::PROBE_FIELD;
use model::{AppName, Event, Fault, Mark, Network, Version, Weight};

const WORDS: &[&str] =
    &["..", "/", "::", "10.0.0.0/8", "\u{1}", "é", "-", "\"", "\\u0000", "1e999", "null"];

#[test]
fn names_are_plain_and_stay_as_they_are() {
    fuzz::run(corpus!("words").words(WORDS), |case| {
        let text = case.text();
        if let Ok(app) = AppName::new(text.as_str()) {
            assert!(app.as_str() == text && (1..=40).contains(&text.len()));
            assert!(
                text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-'),
                "{text}"
            );
        }
        if let Ok(version) = Version::new(text.as_str()) {
            assert!(version.as_str() == text && (1..=64).contains(&text.len()));
            assert!(
                !text.contains(['/', ' ', '\n', '"', '$', '\0']) && !text.starts_with(['.', '-'])
            );
        }
        if let Err(fault) = Version::new(text.as_str()) {
            assert!(!fault.what.contains(char::is_control), "{}", fault.what);
        }
    });
}

#[test]
fn networks_say_themselves_again_and_hold_their_own_address() {
    fuzz::run(corpus!("words").words(WORDS), |case| {
        let text = case.text();
        let Ok(network) = text.parse::<Network>() else { return };
        assert_eq!(network.to_string().parse::<Network>().unwrap(), network);
        let own = text.split('/').next().unwrap().parse().unwrap();
        assert!(network.contains(own), "{text}");
    });
}

/// What is taken for a prober's word is one that it would say, but for zeros before a number; and nobody is a
/// prober without its key.
#[test]
fn a_probers_word_is_what_a_prober_says() {
    const KEY: &str = "5ec2e7";
    let words = &[KEY, "-a", "-s", "4294967295", "+1", "0"];
    fuzz::run(corpus!("receipts").words(words).most(64), |case| {
        assert_eq!(said(PROBE_FIELD, &case.bytes, ""), None);
        assert_eq!(said("x-other", &case.bytes, KEY), None);
        let Some(item) = said(PROBE_FIELD, &case.bytes, KEY) else { return };
        let (sent, again) = (case.text(), says(KEY, item));
        let plain = |text: &str| {
            let (mark, number) = text.split_at(text.len().min(KEY.len() + 2));
            format!("{mark}{}", number.trim_start_matches('0'))
        };
        assert_eq!(plain(&sent), plain(&again), "{sent}");
        assert_eq!(said(PROBE_FIELD, again.as_bytes(), KEY), Some(item));
    });
}

/// Everything that travels between processes or lies on disk as JSON.
#[test]
fn records_are_refused_or_say_themselves_again() {
    fn again<T>(bytes: &[u8])
    where
        T: serde::Serialize + serde::de::DeserializeOwned + PartialEq + std::fmt::Debug,
    {
        if let Ok(one) = serde_json::from_slice::<T>(bytes) {
            let text = serde_json::to_vec(&one).unwrap();
            assert_eq!(serde_json::from_slice::<T>(&text).unwrap(), one);
        }
    }
    fuzz::run(corpus!("records").words(WORDS), |case| {
        again::<Event>(&case.bytes);
        again::<SampleLine>(&case.bytes);
        again::<Mark>(&case.bytes);
        again::<Fault>(&case.bytes);
        again::<Receipt>(&case.bytes);
        again::<model::admin::Request>(&case.bytes);
        if let Ok(weight) = serde_json::from_slice::<Weight>(&case.bytes) {
            assert!(weight.basis_points() <= 10_000);
        }
    });
}
