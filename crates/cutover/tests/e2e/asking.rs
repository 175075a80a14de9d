//! `cutover probe` on a running app, asked otherwise than usual: with HEAD.
//!
//! What a server may do wrong is not tried here, but in the tests of `probe`.

use std::net::TcpStream;
use std::process::{Child, Output, Stdio};

use crate::world::{World, beside, free_port, said, wait_for};

/// The sample app, until it is dropped.
struct App(Child);

impl App {
    fn start(world: &World, port: u16) -> Self {
        let port_is = port.to_string();
        let mut app = world.command(&["app", "--version", "v1", "--port", &port_is]);
        let app = Self(app.stdout(Stdio::null()).spawn().unwrap());
        wait_for("the app listens", 10, || TcpStream::connect(("127.0.0.1", port)).ok());
        app
    }
}

impl Drop for App {
    fn drop(&mut self) {
        let _gone = self.0.kill();
        let _waited = self.0.wait();
    }
}

/// The first of five runs that has a verdict: a machine that starves the prober gets none.
fn judged(mut run: impl FnMut() -> Output) -> Output {
    let output = (0..5).map(|_| run()).find(|output| output.status.code() != Some(3));
    output.expect("no verdict in five runs")
}

#[test]
fn a_service_is_probed_with_head_and_says_its_version_there() {
    let _turn = beside();
    let world = World::new("");
    let port = free_port();
    let _app = App::start(&world, port);
    let url = format!("http://127.0.0.1:{port}/download?bytes=1000000");
    let lanes = ["--lanes", "keep-alive,fresh,idle", "--idle-most", "200ms", "--late-after", "5s"];
    let words = ["probe", &url, "--method", "HEAD", "--count", "90", "--assert", "share(v1)=100%"];
    let output = judged(|| world.run(&[&words[..], &lanes].concat()));
    let text = said(&output);
    assert_eq!(output.status.code(), Some(0), "{text}");
    assert!(text.contains("this speaks for keep-alive, fresh and idle"), "{text}");
}
