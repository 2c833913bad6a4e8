//! A headless Chromium, spoken to over the DevTools protocol through two pipes.
//!
//! See https://chromedevtools.github.io/devtools-protocol/: messages are JSON, each ended by a zero byte; the browser reads
//! them from its file descriptor 3 and writes to 4.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use base64::Engine as _;
use serde_json::{Value, json};
use tempfile::TempDir;

/// The longest that the browser may take for one answer.
const PATIENCE: Duration = Duration::from_secs(90);

/// A browser with one tab.
pub struct Browser {
    process: Child,
    to: ChildStdin,
    from: mpsc::Receiver<Value>,
    events: Vec<Value>,
    session: String,
    last: u64,
    _profile: TempDir,
}

/// The browser's binary, where one is installed.
pub fn installed() -> Option<&'static str> {
    ["chromium", "chromium-browser", "google-chrome"]
        .into_iter()
        .find(|name| {
            Command::new(name)
                .arg("--version")
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .status()
                .is_ok_and(|status| status.success())
        })
}

impl Browser {
    /// Starts one with a window of this size.
    ///
    /// # Panics
    /// No browser is installed, or it does not start.
    pub fn start(width: u32, height: u32) -> Self {
        let binary = installed().expect(
            "a test of pages needs Chromium: `apt-get install chromium` (`make test` installs it)",
        );
        let profile = tempfile::Builder::new()
            .prefix("launchway-browser-")
            .tempdir()
            .expect("a temporary folder");
        // The shell moves the two pipes to where the browser expects them.
        let script = format!(
            "exec {binary} --headless=new --no-sandbox --disable-gpu --disable-dev-shm-usage --no-first-run \
             --disable-background-networking --disable-component-update --hide-scrollbars \
             --window-size={width},{height} --user-data-dir=\"$1\" --remote-debugging-pipe about:blank \
             3<&0 4>&1 </dev/null >/dev/null 2>\"$1/browser.log\""
        );
        let mut process = Command::new("sh")
            .args(["-c", &script, "sh"])
            .arg(profile.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("a shell");
        let to = process.stdin.take().expect("a pipe was asked for");
        let from = read_messages(process.stdout.take().expect("a pipe was asked for"));
        let mut browser = Self {
            process,
            to,
            from,
            events: Vec::new(),
            session: String::new(),
            last: 0,
            _profile: profile,
        };
        let target = browser.call("Target.createTarget", &json!({ "url": "about:blank" }));
        let attached = browser.call(
            "Target.attachToTarget",
            &json!({ "targetId": target["targetId"], "flatten": true }),
        );
        browser.session = attached["sessionId"]
            .as_str()
            .expect("a session has an id")
            .to_owned();
        for domain in ["Page", "Runtime", "Log", "Network"] {
            browser.call(&format!("{domain}.enable"), &json!({}));
        }
        browser
    }

    /// Calls a method of the protocol and gives its result.
    ///
    /// # Panics
    /// The browser refuses it, or does not answer.
    pub fn call(&mut self, method: &str, parameters: &Value) -> Value {
        self.try_call(method, parameters)
            .unwrap_or_else(|error| panic!("{method}: {error}"))
    }

    /// Calls a method of the protocol; an error is the browser's refusal.
    fn try_call(&mut self, method: &str, parameters: &Value) -> Result<Value, Value> {
        self.last += 1;
        let id = self.last;
        let mut message = json!({ "id": id, "method": method, "params": parameters });
        if !self.session.is_empty() {
            message["sessionId"] = json!(self.session);
        }
        let mut bytes = serde_json::to_vec(&message).expect("JSON");
        bytes.push(0);
        self.to.write_all(&bytes).expect("the browser reads");
        self.to.flush().expect("the browser reads");
        loop {
            let answer = self
                .from
                .recv_timeout(PATIENCE)
                .unwrap_or_else(|_| panic!("the browser does not answer {method}"));
            if answer["id"] == json!(id) {
                return match answer.get("error") {
                    Some(error) => Err(error.clone()),
                    None => Ok(answer["result"].clone()),
                };
            }
            self.events.push(answer);
        }
    }

    /// Opens an address and waits until the page is loaded.
    pub fn open(&mut self, url: &str) {
        self.events
            .retain(|event| event["method"] != "Page.loadEventFired");
        let result = self.call("Page.navigate", &json!({ "url": url }));
        assert!(
            result.get("errorText").is_none(),
            "{url}: {}",
            result["errorText"]
        );
        while !self
            .events
            .iter()
            .any(|event| event["method"] == "Page.loadEventFired")
        {
            let event = self
                .from
                .recv_timeout(PATIENCE)
                .unwrap_or_else(|_| panic!("{url} does not load"));
            self.events.push(event);
        }
    }

    /// The value of a JavaScript expression, awaited where it is a promise.
    ///
    /// # Panics
    /// It throws.
    pub fn value(&mut self, expression: &str) -> Value {
        let parameters =
            json!({ "expression": expression, "returnByValue": true, "awaitPromise": true });
        // A page that loads itself anew takes the expression's world away; the new one is asked.
        let result = crate::until_some("the page can be asked", || {
            self.try_call("Runtime.evaluate", &parameters).ok()
        });
        assert!(
            result.get("exceptionDetails").is_none(),
            "{expression}: {}",
            result["exceptionDetails"]
        );
        result["result"]["value"].clone()
    }

    /// The page's text as a person reads it; empty while a page is being loaded.
    pub fn text(&mut self) -> String {
        self.value("document.body?.innerText ?? ''")
            .as_str()
            .unwrap_or_default()
            .to_owned()
    }

    /// Prefers a dark or a light page.
    pub fn prefer(&mut self, scheme: &str) {
        self.call(
            "Emulation.setEmulatedMedia",
            &json!({ "features": [{ "name": "prefers-color-scheme", "value": scheme }] }),
        );
    }

    /// Presses a key with all that a real press brings.
    pub fn press(&mut self, key: &str, code: u32) {
        for kind in ["keyDown", "keyUp"] {
            self.call(
                "Input.dispatchKeyEvent",
                &json!({ "type": kind, "key": key, "code": key, "windowsVirtualKeyCode": code }),
            );
        }
    }

    /// Keeps a picture of the page.
    ///
    /// # Panics
    /// It cannot be written.
    pub fn screenshot(&mut self, path: &Path) {
        let result = self.call("Page.captureScreenshot", &json!({ "format": "png" }));
        let picture = base64::engine::general_purpose::STANDARD
            .decode(result["data"].as_str().unwrap_or_default())
            .expect("a picture in base64");
        std::fs::create_dir_all(path.parent().expect("a file lies in a folder"))
            .expect("the folder of artifacts");
        std::fs::write(path, picture).expect("a picture in the folder of artifacts");
    }

    /// Errors that the pages' scripts and security policy met so far.
    pub fn complaints(&mut self) -> Vec<String> {
        while let Ok(event) = self.from.try_recv() {
            self.events.push(event);
        }
        self.events
            .iter()
            .filter_map(|event| match event["method"].as_str()? {
                "Runtime.exceptionThrown" => Some(event["params"]["exceptionDetails"].to_string()),
                "Log.entryAdded" if event["params"]["entry"]["level"] == "error" => {
                    Some(event["params"]["entry"]["text"].to_string())
                }
                _ => None,
            })
            .collect()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let pid = self.process.id().cast_signed();
        let family = crate::processes::below(pid);
        let _ = self.process.kill();
        let _ = self.process.wait();
        for process in family {
            crate::processes::kill(process.pid);
        }
    }
}

fn read_messages(from: ChildStdout) -> mpsc::Receiver<Value> {
    let (found, messages) = mpsc::channel();
    std::thread::spawn(move || {
        let mut reader = BufReader::new(from);
        let mut message = Vec::new();
        while reader
            .read_until(0, &mut message)
            .is_ok_and(|read| read > 0)
        {
            if message.last() == Some(&0) {
                message.pop();
            }
            if let Ok(value) = serde_json::from_slice(&message)
                && found.send(value).is_err()
            {
                return;
            }
            message.clear();
        }
    });
    messages
}
