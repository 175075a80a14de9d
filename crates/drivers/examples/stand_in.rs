//! A stand-in for somebody's server, told by its arguments to misbehave. For the tests only.
//!
//! It ends by itself after a minute whatever happens, so that no test can leave it behind for long.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::signal::unix::{Signal, SignalKind, signal};

const LIFE: Duration = Duration::from_mins(1);
const LINGER: Duration = Duration::from_millis(200);

/// What the arguments say.
#[derive(Clone, Debug, Default)]
struct Role {
    port: String,
    status: String,
    sick_file: Option<String>,
    /// Arguments without a value: `--hang`, `--ignore-term`, `--never-listen`, `--grandchild`,
    /// `--linger` (ends a while after SIGTERM, at once after a second one), `--show-record` (writes
    /// what is on record of it into its log when SIGTERM comes).
    flags: Vec<String>,
    exit: Option<i32>,
    delay: u64,
}

impl Role {
    fn is(&self, flag: &str) -> bool {
        self.flags.iter().any(|given| given == flag)
    }
}

fn role() -> Role {
    let port = std::env::var("PORT").unwrap_or_default();
    let mut role = Role { port, status: "200".into(), ..Role::default() };
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().unwrap_or_default();
        match argument.as_str() {
            "--port" => role.port = value(),
            "--status" => role.status = value(),
            "--sick-file" => role.sick_file = Some(value()),
            "--exit" => role.exit = value().parse().ok(),
            "--delay" => role.delay = value().parse().unwrap_or_default(),
            flag if flag.starts_with("--") => role.flags.push(argument),
            other => println!("argument {other}"),
        }
    }
    role
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> std::io::Result<std::process::ExitCode> {
    let role = role();
    let variable = |name| std::env::var(name).unwrap_or_default();
    println!(
        "VERSION={} PORT={} DIR={}",
        variable("VERSION"),
        variable("PORT"),
        std::env::current_dir()?.display()
    );
    println!("INSTANCE={} STATE={}", variable("CUTOVER_INSTANCE"), variable("CUTOVER_STATE"));
    let terms = if role.is("--ignore-term") || role.is("--linger") {
        Some(signal(SignalKind::terminate())?)
    } else {
        None
    };
    if role.is("--grandchild") {
        // Same group; it does not end when we do.
        let child = std::process::Command::new(std::env::current_exe()?)
            .args(["--never-listen", "--ignore-term"])
            .spawn()?;
        println!("grandchild {}", child.id());
    }
    if let Some(code) = role.exit {
        eprintln!("cannot go on: \x1b[31mno database\x1b[0m");
        tokio::time::sleep(Duration::from_millis(role.delay)).await;
        return Ok(std::process::ExitCode::from(u8::try_from(code).unwrap_or(1)));
    }
    tokio::select! {
        served = serve(role.clone()) => served?,
        () = tokio::time::sleep(LIFE) => {}
        () = heed(&role, terms) => {}
    }
    Ok(std::process::ExitCode::SUCCESS)
}

/// Resolves when a SIGTERM ends it.
async fn heed(role: &Role, terms: Option<Signal>) {
    let Some(mut terms) = terms else { return std::future::pending().await };
    terms.recv().await;
    println!("SIGTERM");
    if role.is("--show-record") {
        let state = std::env::var("CUTOVER_STATE").unwrap_or_default();
        let record = std::path::Path::new(&state).join("instances").join("demo-1.json");
        println!("{}", std::fs::read_to_string(record).unwrap_or_default());
    }
    if role.is("--linger") {
        let again = tokio::time::timeout(LINGER, terms.recv()).await;
        println!("{}", if again.is_ok() { "cut short" } else { "finished" });
        return;
    }
    while terms.recv().await.is_some() {
        println!("SIGTERM");
    }
}

async fn serve(role: Role) -> std::io::Result<()> {
    if role.is("--never-listen") {
        return std::future::pending().await;
    }
    tokio::time::sleep(Duration::from_millis(role.delay)).await;
    let listener = TcpListener::bind(format!("127.0.0.1:{}", role.port)).await?;
    loop {
        let (stream, _) = listener.accept().await?;
        tokio::spawn(answer(stream, role.clone()));
    }
}

async fn answer(mut stream: TcpStream, role: Role) -> std::io::Result<()> {
    let mut request = vec![0; 4096];
    let _read = stream.read(&mut request).await?;
    if role.is("--hang") {
        return std::future::pending().await;
    }
    let sick = role.sick_file.is_some_and(|file| std::path::Path::new(&file).exists());
    let status = if sick { "503".to_owned() } else { role.status };
    let version = std::env::var("VERSION").unwrap_or_default();
    let body = if status == "200" { "fine" } else { "not \x1b[1mfine" };
    let answer = format!(
        "HTTP/1.1 {status} X\r\nx-app-version: {version}\r\nlocation: /login\r\n\
         content-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(answer.as_bytes()).await
}
