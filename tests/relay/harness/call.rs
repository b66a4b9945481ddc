//! A request before it is on a wire, the same for both protocols.

#[derive(Clone, Debug)]
pub struct Call {
    pub method: String,
    pub target: String,
    pub host: String,
    pub fields: Vec<(String, String)>,
    pub body: Vec<u8>,
    pub chunked: bool,
}

impl Call {
    pub fn post(target: &str) -> Self {
        Self {
            method: "POST".into(),
            target: target.into(),
            host: "relay.example".into(),
            fields: Vec::new(),
            body: b"{}".to_vec(),
            chunked: false,
        }
    }

    pub fn method(mut self, method: &str) -> Self {
        self.method = method.into();
        self
    }

    pub fn host(mut self, host: &str) -> Self {
        self.host = host.into();
        self
    }

    pub fn field(mut self, name: &str, value: &str) -> Self {
        self.fields.push((name.into(), value.into()));
        self
    }

    /// In place of what was there under this name.
    pub fn set(mut self, name: &str, value: &str) -> Self {
        self.fields.retain(|(known, _)| !known.eq_ignore_ascii_case(name));
        self.field(name, value)
    }

    pub fn without(mut self, name: &str) -> Self {
        self.fields.retain(|(known, _)| !known.eq_ignore_ascii_case(name));
        self
    }

    pub fn body(mut self, body: impl AsRef<[u8]>) -> Self {
        self.body = body.as_ref().to_vec();
        self
    }

    /// No length: chunks in HTTP/1.1, no declared length in HTTP/2.
    pub fn chunked(mut self) -> Self {
        self.chunked = true;
        self
    }

    /// Everything before the body.
    pub fn h1_head(&self) -> Vec<u8> {
        let mut head = format!("{} {} HTTP/1.1\r\nHost: {}\r\n", self.method, self.target, self.host);
        for (name, value) in &self.fields {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        if self.chunked {
            head.push_str("Transfer-Encoding: chunked\r\n");
        } else if !self.body.is_empty() || self.method != "GET" {
            head.push_str(&format!("Content-Length: {}\r\n", self.body.len()));
        }
        head.push_str("\r\n");
        head.into_bytes()
    }

    pub fn h1(&self) -> Vec<u8> {
        let mut bytes = self.h1_head();
        if !self.chunked {
            bytes.extend_from_slice(&self.body);
            return bytes;
        }
        // Chunks of uneven sizes, so that their ends fall everywhere.
        let mut size = 1;
        let mut rest = &self.body[..];
        while !rest.is_empty() {
            let (chunk, more) = rest.split_at(size.min(rest.len()));
            bytes.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
            bytes.extend_from_slice(chunk);
            bytes.extend_from_slice(b"\r\n");
            rest = more;
            size = (size * 3 + 1).min(70_001);
        }
        bytes.extend_from_slice(b"0\r\n\r\n");
        bytes
    }

    pub fn h2(&self) -> http::Request<()> {
        let uri = format!("https://{}{}", self.host, self.target);
        let mut request = http::Request::builder().method(self.method.as_str()).uri(uri);
        for (name, value) in &self.fields {
            request = request.header(name.as_str(), value.as_str());
        }
        if !self.chunked && !self.body.is_empty() {
            request = request.header("content-length", self.body.len());
        }
        request.body(()).unwrap()
    }
}
