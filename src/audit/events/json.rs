//! JSON objects, written by hand: what is written here is flat and small.

use crate::text::json_string;

/// An object that is being written.
#[derive(Debug, Default)]
pub(crate) struct Object(String);

impl Object {
    /// A member that is JSON already.
    pub(crate) fn raw(&mut self, name: &str, json: &str) -> &mut Self {
        if !self.0.is_empty() {
            self.0.push(',');
        }
        self.0.push_str(&json_string(name));
        self.0.push(':');
        self.0.push_str(json);
        self
    }

    /// A string, or `null`.
    pub(crate) fn text(&mut self, name: &str, text: Option<&str>) -> &mut Self {
        self.raw(name, &text.map_or_else(|| "null".to_owned(), json_string))
    }

    /// A number, `true` or `false`, or `null`.
    pub(crate) fn value(&mut self, name: &str, value: Option<impl std::fmt::Display>) -> &mut Self {
        self.raw(name, &value.map_or_else(|| "null".to_owned(), |value| value.to_string()))
    }

    /// A list of what is JSON already.
    pub(crate) fn list(
        &mut self,
        name: &str,
        items: impl IntoIterator<Item = String>,
    ) -> &mut Self {
        let items: Vec<_> = items.into_iter().collect();
        self.raw(name, &format!("[{}]", items.join(",")))
    }

    /// The whole object.
    pub(crate) fn end(&self) -> String {
        format!("{{{}}}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects() {
        let mut inner = Object::default();
        inner.value("pid", Some(7)).text("comm", Some("my \"app\"\n"));
        let mut object = Object::default();
        object.text("a", None).value("b", Some(true)).value("c", None::<u32>);
        object.list("d", [inner.end()]).list("e", []);
        let expected =
            r#"{"a":null,"b":true,"c":null,"d":[{"pid":7,"comm":"my \"app\"\n"}],"e":[]}"#;
        assert_eq!(object.end(), expected);
        assert_eq!(Object::default().end(), "{}");
    }
}
