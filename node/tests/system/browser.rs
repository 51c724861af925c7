//! A real browser without a screen, driven over its debugging protocol.

use serde_json::{Value, json};
use std::io::{BufRead, BufReader};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tungstenite::stream::MaybeTlsStream;
use tungstenite::{Message, WebSocket};

/// The names under which it may be installed; `CORDEE_BROWSER` names another.
const NAMES: [&str; 4] = [
    "chromium",
    "chromium-browser",
    "google-chrome",
    "chromium-headless-shell",
];

/// One page of a browser that ends with the test.
pub(crate) struct Page {
    process: Child,
    socket: WebSocket<MaybeTlsStream<TcpStream>>,
    session: Option<String>,
    asked: u64,
    /// Errors that the page's console has shown: exceptions, and what the content policy refused.
    pub(crate) errors: Vec<String>,
    _folder: tempfile::TempDir,
}

fn installed() -> Option<PathBuf> {
    if let Some(named) = std::env::var_os("CORDEE_BROWSER") {
        return Some(named.into());
    }
    let path = std::env::var_os("PATH")?;
    let places: Vec<_> = std::env::split_paths(&path).collect();
    let all = NAMES
        .iter()
        .flat_map(|name| places.iter().map(move |place| place.join(name)));
    all.into_iter().find(|file| file.exists())
}

impl Page {
    /// An empty page; `None`, and a word about it, where no browser is installed.
    pub(crate) fn open() -> Option<Self> {
        let Some(browser) = installed() else {
            assert!(
                std::env::var_os("CORDEE_NEEDS_BROWSER").is_none(),
                "none of {NAMES:?} is installed"
            );
            eprintln!(
                "SKIPPED: none of {NAMES:?} is installed, and CORDEE_BROWSER names none; `.ci/run` installs one"
            );
            return None;
        };
        let folder = tempfile::tempdir().unwrap();
        let mut process = Command::new(browser)
            .args([
                "--headless=new",
                "--no-sandbox",
                "--disable-gpu",
                "--disable-dev-shm-usage",
            ])
            .args(["--no-first-run", "--remote-debugging-port=0", "about:blank"])
            .arg(format!("--user-data-dir={}", folder.path().display()))
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stderr.take().unwrap()).lines();
        let address = lines
            .by_ref()
            .map_while(Result::ok)
            .find_map(|line| line.strip_prefix("DevTools listening on ").map(str::to_owned))
            .expect("the browser says where it listens");
        // What it says from then on must not fill the pipe.
        std::thread::spawn(move || lines.for_each(drop));
        let (socket, _) = tungstenite::connect(address).unwrap();
        if let MaybeTlsStream::Plain(stream) = socket.get_ref() {
            stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        }
        let mut page = Self {
            process,
            socket,
            session: None,
            asked: 0,
            errors: Vec::new(),
            _folder: folder,
        };
        let made = page.ask("Target.createTarget", json!({ "url": "about:blank" }));
        let target = json!({ "targetId": made["targetId"], "flatten": true });
        let session = page.ask("Target.attachToTarget", target)["sessionId"].clone();
        page.session = session.as_str().map(str::to_owned);
        for domain in ["Page", "Runtime", "Log", "Accessibility"] {
            page.ask(&format!("{domain}.enable"), json!({}));
        }
        Some(page)
    }

    /// Let the browser do something, and wait until it has.
    pub(crate) fn ask(&mut self, method: &str, params: Value) -> Value {
        self.asked += 1;
        let mut question = json!({ "id": self.asked, "method": method, "params": params });
        if let Some(session) = &self.session {
            question["sessionId"] = session.clone().into();
        }
        self.socket.send(Message::text(question.to_string())).unwrap();
        loop {
            let answer = self.socket.read().unwrap();
            let Ok(text) = answer.to_text() else { continue };
            let answer: Value = serde_json::from_str(text).unwrap_or_default();
            match answer["method"].as_str() {
                Some("Runtime.exceptionThrown") => self.errors.push(answer["params"].to_string()),
                Some("Log.entryAdded") if answer["params"]["entry"]["level"] == "error" => {
                    self.errors.push(answer["params"]["entry"].to_string());
                }
                _ if answer["id"] == self.asked => {
                    assert!(answer["error"].is_null(), "{method}: {answer}");
                    return answer["result"].clone();
                }
                _ => {}
            }
        }
    }

    pub(crate) fn go(&mut self, url: &str) {
        self.ask("Page.navigate", json!({ "url": url }));
    }

    /// What a JavaScript expression is.
    pub(crate) fn eval(&mut self, expression: &str) -> Value {
        let params = json!({ "expression": expression, "returnByValue": true, "awaitPromise": true });
        let result = self.ask("Runtime.evaluate", params);
        assert!(result["exceptionDetails"].is_null(), "{expression}: {result}");
        result["result"]["value"].clone()
    }

    /// The text of the element with this id.
    pub(crate) fn text(&mut self, id: &str) -> String {
        let text = self.eval(&format!("document.getElementById({id:?})?.textContent ?? ''"));
        text.as_str().unwrap_or_default().to_owned()
    }

    /// Wait until an expression is true.
    pub(crate) fn until(&mut self, expression: &str) {
        let start = Instant::now();
        while self.eval(expression) != true {
            let body = start.elapsed() < Duration::from_secs(120);
            assert!(
                body,
                "never {expression}: {}",
                self.eval("document.body.innerText")
            );
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Show the page so wide, light or dark.
    pub(crate) fn look(&mut self, width: u32, height: u32, scheme: &str) {
        let size = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500 });
        self.ask("Emulation.setDeviceMetricsOverride", size);
        let features = json!([{ "name": "prefers-color-scheme", "value": scheme }]);
        self.ask("Emulation.setEmulatedMedia", json!({ "features": features }));
    }

    /// Where `CORDEE_SCREENSHOTS` names a folder, what the page looks like, as base 64 of a PNG.
    pub(crate) fn picture(&mut self, name: &str) {
        if let Some(folder) = std::env::var_os("CORDEE_SCREENSHOTS") {
            let taken = self.ask("Page.captureScreenshot", json!({ "captureBeyondViewport": true }));
            let file = Path::new(&folder).join(format!("{name}.png.base64"));
            std::fs::write(file, taken["data"].as_str().unwrap()).unwrap();
        }
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
