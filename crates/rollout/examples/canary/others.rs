//! Other tests that may be looked at at any time, to compare with.
//!
//! None of them is in the product. Rules of others that may *not* be looked at so often are in `tools`.

/// Who knows beforehand how many times more often the candidate fails: nobody can be quicker at the same guarantee.
/// And the mixture over all odds of Lindon and Malek, for a fixed share.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Other {
    /// Knows how many times.
    Oracle { times: f64 },
    /// A Dirichlet prior, as firm as so many errors.
    Dirichlet { firm: f64 },
}

/// The evidence so far that the candidate has more than its share of the errors.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Evidence {
    test: Other,
    /// The candidate's share of the requests.
    share: f64,
    /// Errors of the candidate and of stable.
    errors: (f64, f64),
    log_e: f64,
}

impl Evidence {
    pub(crate) const fn by(test: Other, share: f64) -> Self {
        Self { test, share, errors: (0.0, 0.0), log_e: 0.0 }
    }

    /// Takes the errors of a second: the candidate's, and those of stable.
    pub(crate) fn add(&mut self, candidate: u64, stable: u64) {
        for _ in 0..candidate {
            self.log_e += (self.expected() / self.share).ln();
            self.errors.0 += 1.0;
        }
        for _ in 0..stable {
            self.log_e += ((1.0 - self.expected()) / (1.0 - self.share)).ln();
            self.errors.1 += 1.0;
        }
    }

    /// The chance that the next error is the candidate's, were it worse.
    fn expected(&self) -> f64 {
        match self.test {
            Other::Oracle { times } => self.share * times / (self.share * times + 1.0 - self.share),
            Other::Dirichlet { firm } => {
                (firm * self.share + self.errors.0) / (firm + self.errors.0 + self.errors.1)
            }
        }
    }

    /// The logarithm of the e-value now, nats.
    pub(crate) const fn log_e(&self) -> f64 {
        self.log_e
    }
}

/// Times are sorted into bins of one percent, from a millisecond to some minutes.
const BINS: usize = 1_200;

/// How often each latency was met, of both releases.
#[derive(Clone, Debug)]
pub(crate) struct Latencies {
    candidate: Vec<u64>,
    stable: Vec<u64>,
}

impl Latencies {
    pub(crate) fn new() -> Self {
        Self { candidate: vec![0; BINS], stable: vec![0; BINS] }
    }

    /// Takes the time of one request of the candidate, us.
    pub(crate) fn candidate(&mut self, us: u64) {
        self.candidate[bin(us)] += 1;
    }

    /// Takes the time of one request of stable, us.
    pub(crate) fn stable(&mut self, us: u64) {
        self.stable[bin(us)] += 1;
    }

    /// By how much the candidate's distribution lies right of that of stable at most, and the requests of both.
    fn apart(&self) -> (f64, f64, f64) {
        let [n_c, n_b] = [&self.candidate, &self.stable].map(|of| of.iter().sum::<u64>() as f64);
        let (mut most, mut c, mut b) = (0.0_f64, 0, 0);
        for (candidate, stable) in self.candidate.iter().zip(&self.stable) {
            (c, b) = (c + candidate, b + stable);
            most = most.max(b as f64 / n_b.max(1.0) - c as f64 / n_c.max(1.0));
        }
        (most, n_c, n_b)
    }

    /// True when the bands of Howard and Ramdas around both distributions (as in Lindon, Sanden and Shirikian, 2022)
    /// part somewhere.
    pub(crate) fn bands_part(&self, alpha: f64) -> bool {
        let (apart, n_c, n_b) = self.apart();
        n_c > 0.0 && n_b > 0.0 && apart > band(n_c, alpha / 2.0) + band(n_b, alpha / 2.0)
    }

    /// True when the test of Kolmogorov and Smirnov, one-sided and for one look, says so at 5 %.
    pub(crate) fn smirnov(&self) -> bool {
        let (apart, n_c, n_b) = self.apart();
        // Fewer are no sample.
        n_c >= 10.0 && n_b >= 10.0 && apart > 1.2239 * ((n_c + n_b) / (n_c * n_b)).sqrt()
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "cut to the bins")]
fn bin(us: u64) -> usize {
    ((us.max(1) as f64 / 1_000.0).ln() * 100.0).clamp(0.0, BINS as f64 - 1.0) as usize
}

/// Half the width of a band that holds at all times at once with chance `1 - alpha`.
fn band(n: f64, alpha: f64) -> f64 {
    0.85 * (((1.0 + n.ln()).ln() + 0.8 * (1_612.0 / alpha).ln()) / n).sqrt()
}

#[cfg(test)]
mod tests {
    use super::{Evidence, Latencies, Other, band};

    #[test]
    fn known_answers_of_the_mixture() {
        for (share, errors, firm, wanted) in [
            (0.05, (5, 0), 1.0, 10.475_925_780_5),
            (0.05, (5, 0), 2.0, 9.476_461_672_5),
            (0.05, (5, 0), 10.0, 5.974_716_689_8),
            (0.05, (5, 0), 100.0, 1.478_051_614_0),
            (0.1, (10, 10), 1.0, 7.321_992_134_3),
            (0.1, (10, 10), 100.0, 2.208_197_344_4),
            (0.2, (62, 148), 100.0, 3.088_294_334_2),
            (0.5, (130, 100), 2.0, -0.542_946_842_7),
        ] {
            let mut evidence = Evidence::by(Other::Dirichlet { firm }, share);
            evidence.add(errors.0, errors.1);
            assert!((evidence.log_e() - wanted).abs() < 1e-9, "{} {wanted}", evidence.log_e());
        }
    }

    #[test]
    fn who_knows_how_many_times_bets_on_it() {
        let mut evidence = Evidence::by(Other::Oracle { times: 10.0 }, 0.1);
        evidence.add(1, 1);
        // Ten of nineteen errors are the candidate's.
        let wanted = (10.0 / 19.0 / 0.1_f64).ln() + (9.0 / 19.0 / 0.9_f64).ln();
        assert!((evidence.log_e() - wanted).abs() < 1e-12, "{}", evidence.log_e());
    }

    #[test]
    fn known_answers_of_the_band() {
        for (n, wanted) in [(100.0, 0.2765), (1e3, 0.0888), (1e4, 0.0284), (1e5, 0.0091)] {
            assert!((band(n, 0.025) - wanted).abs() < 6e-5, "{} {wanted}", band(n, 0.025));
        }
    }

    #[test]
    fn bands_part_when_one_is_slower_and_not_the_other_way_round() {
        let (mut slower, mut faster) = (Latencies::new(), Latencies::new());
        for n in 0..1_000 {
            for (latencies, candidate) in [(&mut slower, 30_000), (&mut faster, 10_000)] {
                latencies.candidate(candidate + n);
                latencies.stable(20_000 + n);
            }
        }
        assert!(slower.bands_part(0.01) && slower.smirnov());
        assert!(!faster.bands_part(0.01) && !faster.smirnov());
    }
}
