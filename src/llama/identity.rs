//! What a server says that it serves, and a fingerprint of that.
//!
//! The API gives no hash of the model file. The fingerprint tells two models apart by their description; it does not
//! prove that two files are equal, and says so in its own text. Where the file is at hand, hash the file.

use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::hash::sha256;

use super::wire::{ModelMeta, Props};

/// Build, model and context of a running llama-server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// Build of the server, such as `b11669-Debian`.
    pub build_info: String,
    /// The model file as the server names it.
    pub model_path: String,
    /// Quantization as the server names it, such as `Q8_0`.
    pub model_ftype: String,
    /// Context of **one slot**, in tokens.
    pub n_ctx: u32,
    /// Context that the model was trained for, in tokens.
    pub n_ctx_train: u32,
    /// Number of weights.
    pub n_params: u64,
    /// Size of the vocabulary.
    pub n_vocab: u32,
    /// Size of the weights, in bytes.
    pub size_bytes: u64,
    /// Number of slots.
    pub total_slots: u32,
    /// SHA-256 of the chat template.
    pub chat_template_sha256: String,
    /// `not-a-file-hash:` and a SHA-256 over the model's description, its chat template and the build.
    pub fingerprint: String,
    /// The name under which the model is served.
    pub alias: String,
}

impl Identity {
    pub(super) fn new(props: Props, meta: ModelMeta) -> Self {
        let chat_template_sha256 = sha256(&props.chat_template);
        let described = json!({ "meta": meta, "template": chat_template_sha256, "build": props.build_info });
        Self {
            build_info: props.build_info,
            model_path: props.model_path,
            // 0.5.0-dev has it in /props only.
            model_ftype: if props.model_ftype.is_empty() { meta.ftype } else { props.model_ftype },
            n_ctx: props.default_generation_settings.n_ctx,
            n_ctx_train: meta.n_ctx_train,
            n_params: meta.n_params,
            n_vocab: meta.n_vocab,
            size_bytes: meta.size,
            total_slots: props.total_slots,
            chat_template_sha256,
            fingerprint: format!("not-a-file-hash:{}", sha256(described.to_string())),
            alias: props.model_alias,
        }
    }
}
