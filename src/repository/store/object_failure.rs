//! Errors of object stores in words: what failed, with which object, why, and what to do.
//!
//! Promise: the address of a request and the text of an answer are never shown as they are; they may hold signatures.

use crate::config::store_url::StoreUrl;
use crate::error::{self, Error};
use crate::text::shell_word::shell_word;

/// Reason why a request failed.
struct StoreComplaint {
    /// The store's own word: `AccessDenied`, `NoSuchBucket`.
    code: Option<String>,
    text: String,
}

/// Makes the error of a failed request; `doing` is a verb: "read".
pub(super) fn failure(url: &StoreUrl, doing: &str, key: &str, cause: &object_store::Error) -> Error {
    let object = if key.is_empty() { url.to_string() } else { format!("{url}/{key}") };
    let complaint = StoreComplaint::of(cause);
    let message = format!("cannot {doing} {object}: {}", complaint.text);
    if matches!(cause, object_store::Error::NotFound { .. }) && !complaint.names_bucket() {
        return error::target(message).hint(format!(
            "see which backups there are: `envctl backup list --store {}`",
            shell_word(&url.to_string())
        ));
    }
    let error = error::failed(message);
    match complaint.hint(url) {
        Some(hint) => error.hint(hint),
        None => error,
    }
}

/// Reports whether an error says that the store does not know an operation.
pub(super) fn is_unknown_operation(cause: &object_store::Error) -> bool {
    let complaint = StoreComplaint::of(cause);
    complaint.code.as_deref() == Some("NotImplemented") || complaint.text.contains("501 Not Implemented")
}

impl StoreComplaint {
    fn of(cause: &object_store::Error) -> Self {
        let chain = std::iter::successors(Some(cause as &dyn std::error::Error), |error| error.source());
        let texts: Vec<String> = chain.map(ToString::to_string).collect();
        let innermost = texts.last().map_or("", String::as_str);
        if let Some(code) = texts.iter().find_map(|text| between(text, "<Code>", "</Code>")) {
            let message = texts.iter().find_map(|text| between(text, "<Message>", "</Message>"));
            let message = message.unwrap_or_default();
            let first = message.lines().next().unwrap_or_default().trim();
            let text = if first.is_empty() { code.clone() } else { format!("{code}: {first}") };
            return Self { code: Some(code), text };
        }
        let plain = innermost.split(['<', '\n']).next().unwrap_or_default().trim().trim_end_matches(':');
        let plain: String = plain.chars().take(300).collect();
        let text = match cause {
            object_store::Error::NotFound { .. } => "there is no such object".to_owned(),
            object_store::Error::PermissionDenied { .. } => "permission denied".to_owned(),
            object_store::Error::Unauthenticated { .. } => "the credentials are not accepted".to_owned(),
            _ if plain.is_empty() => "the store gave no reason".to_owned(),
            _ => plain,
        };
        Self { code: None, text }
    }

    fn names_bucket(&self) -> bool {
        matches!(self.code.as_deref(), Some("NoSuchBucket" | "ContainerNotFound"))
    }

    fn hint(&self, url: &StoreUrl) -> Option<String> {
        let code = self.code.as_deref().unwrap_or_default();
        Some(match code {
            "ExpiredToken" | "TokenRefreshRequired" | "ExpiredTokenException" => {
                "get new credentials: these have expired".to_owned()
            }
            "NoSuchBucket" | "ContainerNotFound" => {
                "make the bucket first, or correct the address and its endpoint".to_owned()
            }
            "RequestTimeTooSkewed" => {
                "set the clock of this machine: requests are signed with the time".to_owned()
            }
            "InvalidAccessKeyId" | "SignatureDoesNotMatch" | "AuthenticationFailed" => {
                "look at the credentials and at the region".to_owned()
            }
            "PermanentRedirect" | "AuthorizationHeaderMalformed" | "IllegalLocationConstraintException" => {
                "name the region of the bucket: `backup.s3_region`, `AWS_REGION`".to_owned()
            }
            "AccessDenied" | "AuthorizationPermissionMismatch" | "AllAccessDisabled" => {
                format!(
                    "find out which permission is missing: `envctl store check {}`",
                    shell_word(&url.to_string())
                )
            }
            _ if self.text.contains("cannot be reached") || self.text.contains("does not answer") => {
                "look at the network and at the endpoint: `envctl config` shows it".to_owned()
            }
            _ if self.text == "permission denied" => {
                format!(
                    "find out which permission is missing: `envctl store check {}`",
                    shell_word(&url.to_string())
                )
            }
            _ => return None,
        })
    }
}

fn between(text: &str, from: &str, to: &str) -> Option<String> {
    let (_, rest) = text.split_once(from)?;
    let (inner, _) = rest.split_once(to)?;
    Some(inner.replace("&quot;", "\"").replace("&apos;", "'").replace("&lt;", "<").replace("&gt;", ">"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn denied(body: &str) -> object_store::Error {
        object_store::Error::Generic { store: "S3", source: body.to_owned().into() }
    }

    #[test]
    fn an_error_of_a_store_says_its_code_and_what_to_do_and_no_signature() {
        let url: StoreUrl = "s3://b/x".parse().unwrap();
        let body = "Error performing PUT https://h/b?X-Amz-Signature=abc in 1s - Server returned non-2xx status code: \
                    403 Forbidden: <Error><Code>ExpiredToken</Code><Message>The provided token has expired.</Message>\
                    <StringToSign>secret</StringToSign></Error>";
        let error = failure(&url, "write", "k", &denied(body));
        assert_eq!(error.message(), "cannot write s3://b/x/k: ExpiredToken: The provided token has expired.");
        assert!(error.hints()[0].contains("new credentials"));
        let error = failure(&url, "write", "k", &denied("h:1 cannot be reached: Connection refused"));
        assert!(error.hints()[0].contains("endpoint"), "{error}");
        assert!(is_unknown_operation(&denied("status code: 501 Not Implemented: <html>")));
    }
}
