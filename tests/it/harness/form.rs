//! Forms with files, as browsers and the CLI send them.

use serde_json::Value;

use super::client::{Call, Client};

/// A `multipart/form-data` body, part by part.
#[derive(Clone, Debug, Default)]
pub struct Form(Vec<u8>);

const BOUNDARY: &str = "ThisIsWhereAPartBegins";

impl Form {
    /// A field with a text.
    #[expect(clippy::needless_pass_by_value, reason = "callers pass ids and literals")]
    pub fn text(self, name: &str, text: impl ToString) -> Self {
        self.part(&format!("name=\"{name}\""), text.to_string().as_bytes())
    }

    /// A file under the field `file`.
    pub fn file(self, filename: &str, content: impl AsRef<[u8]>) -> Self {
        self.part(&format!("name=\"file\"; filename=\"{filename}\""), content.as_ref())
    }

    fn part(mut self, disposition: &str, content: &[u8]) -> Self {
        let head = format!("--{BOUNDARY}\r\nContent-Disposition: form-data; {disposition}\r\n\r\n");
        self.0.extend_from_slice(head.as_bytes());
        self.0.extend_from_slice(content);
        self.0.extend_from_slice(b"\r\n");
        self
    }
}

impl Client {
    /// Sends a form.
    pub fn send_form(&self, path: &str, form: Form) -> Call {
        let mut body = form.0;
        body.extend_from_slice(format!("--{BOUNDARY}--\r\n").as_bytes());
        self.post(path, body).header("content-type", &format!("multipart/form-data; boundary={BOUNDARY}"))
    }

    /// Uploads a file with these fields; it must succeed.
    pub async fn upload(
        &self,
        filename: &str,
        content: impl AsRef<[u8]>,
        fields: &[(&str, String)],
    ) -> Value {
        let form = Form::default().file(filename, content);
        let form = fields.iter().fold(form, |form, (name, text)| form.text(name, text));
        self.send_form("/api/upload-file", form).await.expect(200)
    }
}
