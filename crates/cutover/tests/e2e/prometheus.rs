//! A real Prometheus has the say over a rollout: asked in plain text, and over TLS by who has its password.
//!
//! No prober runs here, and instances stay healthy. What else a Prometheus may answer is tried with fakes, in
//! `server::prometheus`.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::judging::Users;
use crate::secrets::assert_nowhere;
use crate::world::{World, beside, free_port, patient_config, said};

const BEAT: Duration = Duration::from_millis(300);
const PASSWORD: &str = "hush-open-sesame";
/// bcrypt of it.
const HASH: &str = "$2b$04$abcdefghijklmnopqrstuu6yJBfhZ4bLuuv4r3x6XzOIqs2GyEp8K";

/// A canary whose version `v2` fails often, judged by what a Prometheus knows of our own proxy.
fn config(metrics: u16, asked: &str) -> String {
    let app = "command = [\"sh\", \"-c\", \"fault=; test $1 != v2 || fault='--error-share 0.5'; exec \
               CUTOVER app --port $0 --version $1 $fault\", \"{port}\", \"{version}\"]";
    let own =
        "command = [\"CUTOVER\", \"app\", \"--port\", \"{port}\", \"--version\", \"{version}\"]";
    let rollout = "strategy = \"canary\"\npreview_requests = 0\nbake = \"500ms\"\n\
                   steps = [\"40%\"]\nstep_bake = \"60s\"";
    let config = patient_config(1)
        .replace("bake = \"1500ms\"\npreview_requests = 10", rollout)
        .replace("rate = 100", "enabled = false")
        .replace("[proxy]\n", &format!("[proxy]\nmetrics = \"127.0.0.1:{metrics}\"\n"))
        .replace(own, app);
    format!(
        "{config}\n[app.demo.rollout.analysis]\nenabled = false\n\
         [[app.demo.rollout.metrics]]\nname = \"failing\"\nmax = 0.2\ninterval = \"200ms\"\n\
         failures = 2\n{asked}\n\
         query = 'sum(rate(cutover_requests_total{{version=\"{{version}}\",code=\"5xx\"}}[2s])) / \
         sum(rate(cutover_requests_total{{version=\"{{version}}\"}}[2s])) > 0'\n"
    )
}

/// A Prometheus of the test bed; ended when it is dropped.
struct Prometheus {
    child: Child,
    port: u16,
}

impl Prometheus {
    /// Scrapes that port every 200 ms, with these lines about who may ask; `None` where there is no test bed.
    fn scraping(target: u16, directory: &Path, web: &str) -> Option<Self> {
        let program = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../../target/testbed/prometheus-bookworm/usr/bin/prometheus");
        if !program.exists() {
            let words = "no prometheus (cargo xtask testbed)";
            assert!(std::env::var("TESTBED").as_deref() != Ok("required"), "{words}");
            aside::say(format_args!("skipped: {words}"));
            return None;
        }
        let file = directory.join("prometheus.yml");
        let scrape = format!(
            "scrape_configs:\n- job_name: proxy\n  scrape_interval: 200ms\n  scrape_timeout: 200ms\n  \
             static_configs:\n  - targets: [\"127.0.0.1:{target}\"]\n"
        );
        std::fs::write(&file, scrape).unwrap();
        let web_file = directory.join("web.yml");
        std::fs::write(&web_file, web).unwrap();
        let port = free_port();
        let data = directory.join("prometheus-data");
        let child = Command::new(program)
            .arg(format!("--config.file={}", file.display()))
            .arg(format!("--web.config.file={}", web_file.display()))
            .arg(format!("--storage.tsdb.path={}", data.display()))
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Some(Self { child, port })
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
    }
}

/// The proxy's own metrics, scraped by a real Prometheus, end a rollout whose version fails.
#[test]
fn a_real_prometheus_has_the_say() {
    let _turn = beside();
    let (metrics, directory) = (free_port(), tempfile::tempdir().unwrap());
    let Some(prometheus) = Prometheus::scraping(metrics, directory.path(), "") else { return };
    let asked =
        format!("no_data = \"ignore\"\nprometheus = \"http://127.0.0.1:{}\"", prometheus.port);
    let mut world = World::new(&config(metrics, &asked));
    world.up();
    world.expect(0, &["deploy", "demo", "v1"]);
    let _users = Users::of(world.port, 40, BEAT, "/");
    let told = said(&world.expect(4, &["deploy", "demo", "v2"]));
    assert!(
        told.contains("failing is beyond its limit (2 times in a row): failing is 0."),
        "{told}"
    );
}

/// Over TLS, by name and password: a certificate that nobody vouches for and a wrong password are no value,
/// with which the rollout does as it was told, and the right ones let it judge.
#[test]
fn a_real_prometheus_is_asked_over_tls_by_who_has_its_password() {
    let _turn = beside();
    let (metrics, directory) = (free_port(), tempfile::tempdir().unwrap());
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let other = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let write = |name: &str, text: String| {
        let path = directory.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let (chain, key) =
        (write("web.pem", made.cert.pem()), write("web.key", made.signing_key.serialize_pem()));
    let web = format!(
        "tls_server_config: {{ cert_file: {chain}, key_file: {key} }}\nbasic_auth_users: {{ cutover: {HASH} }}\n"
    );
    let Some(prometheus) = Prometheus::scraping(metrics, directory.path(), &web) else { return };
    let asked = format!(
        "no_data = \"abort\"\nprometheus = \"https://localhost:{}\"\nca = \"prometheus.pem\"\n\
         user = \"cutover\"\npassword = {{ file = \"prometheus.password\" }}",
        prometheus.port
    );
    let mut world = World::new(&config(metrics, &asked));
    let put = |name: &str, text: &str| std::fs::write(world.path().join(name), text).unwrap();
    put("prometheus.pem", &other.cert.pem());
    put("prometheus.password", "hush-wrong\n");
    world.up();
    world.expect(0, &["deploy", "demo", "v1"]);
    let _users = Users::of(world.port, 40, BEAT, "/");
    let plan = said(&world.expect(0, &["plan", "demo", "v2"]));
    assert!(plan.contains("which is shown `cutover` with the password of "), "{plan}");

    let told = said(&world.expect(4, &["deploy", "demo", "v2"]));
    let why = format!("https://localhost:{} is not who it should be: ", prometheus.port);
    assert!(told.contains("failing could not be measured") && told.contains(&why), "{told}");
    let put = |name: &str, text: &str| std::fs::write(world.path().join(name), text).unwrap();
    put("prometheus.pem", &made.cert.pem());
    let told = said(&world.expect(4, &["deploy", "demo", "v2"]));
    let why = "answered 401: it does not take `cutover` with the password of ";
    assert!(told.contains("failing could not be measured") && told.contains(why), "{told}");
    put("prometheus.password", &format!("{PASSWORD}\n"));
    // Its first values come from before there was anything of v2.
    let text = std::fs::read_to_string(world.path().join("cutover.toml")).unwrap();
    put("cutover.toml", &text.replace("no_data = \"abort\"", "no_data = \"ignore\""));
    world.expect(0, &["reload", "--yes"]);
    let told = said(&world.expect(4, &["deploy", "demo", "v2"]));
    assert!(
        told.contains("failing is beyond its limit (2 times in a row): failing is 0."),
        "{told}"
    );

    std::fs::remove_file(world.path().join("prometheus.password")).unwrap();
    assert_nowhere(&world, PASSWORD);
    assert_nowhere(&world, "hush-wrong");
}
