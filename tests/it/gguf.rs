//! Writes a tiny llama model with random weights, so that a real llama-server has something to serve.
//!
//! Deterministic: the same [`Tiny`] gives the same bytes. The model knows nothing; what it emits can be steered a
//! little, because constant columns in the embedding and output matrices act as a bias on each token.

use std::path::{Path, PathBuf};

const WIDTH: usize = 64;
const LAYERS: usize = 2;
const HEADS: usize = 4;
const KV_HEADS: usize = 2;
const FEED_FORWARD: usize = 128;
const ALIGNMENT: usize = 32;

const SPECIAL: [&str; 5] = ["<|bos|>", "<|eos|>", "<|pad|>", "<|im_start|>", "<|im_end|>"];
const MERGES: [(&str, &str); 8] =
    [("e", "r"), ("o", "r"), ("i", "n"), ("a", "t"), ("Ġ", "t"), ("er", "r"), ("err", "or"), ("E", "R")];
/// A template with a switch for thinking, because servers treat those differently.
const TEMPLATE: &str = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}\
    {% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}\
    {% if enable_thinking is defined and not enable_thinking %}<think></think>{% endif %}";

/// What the model is inclined to emit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Habit {
    /// Printable characters, and it closes a string or object soon.
    Brief,
    /// Printable characters, and a string never ends.
    Endless,
    /// Any byte, so that its text is not UTF-8.
    Bytes,
}

/// The model to be written.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tiny {
    pub(crate) seed: u64,
    /// Context that the model claims to be trained for, in tokens.
    pub(crate) context: u32,
    pub(crate) habit: Habit,
}

impl Tiny {
    /// Writes the model into `dir` and returns its path.
    pub(crate) fn write(&self, dir: &Path) -> PathBuf {
        let path = dir.join(format!("tiny-{:?}-{}-{}.gguf", self.habit, self.context, self.seed).to_lowercase());
        std::fs::write(&path, self.bytes()).unwrap();
        path
    }

    fn bytes(&self) -> Vec<u8> {
        let vocabulary = vocabulary();
        let metadata = self.metadata(&vocabulary);
        let tensors = self.tensors(&vocabulary);
        let mut file = Writer::default();
        file.raw(b"GGUF").u32(3).u64(tensors.len() as u64).u64(metadata.len() as u64);
        for (key, value) in &metadata {
            file.string(key).typed(value);
        }
        let mut offset = 0;
        for tensor in &tensors {
            file.string(&tensor.name).u32(tensor.shape.len() as u32);
            for dimension in &tensor.shape {
                file.u64(*dimension as u64);
            }
            file.u32(0).u64(offset); // type 0: F32
            offset += (tensor.data.len() * 4).next_multiple_of(ALIGNMENT) as u64;
        }
        for tensor in &tensors {
            file.align();
            for weight in &tensor.data {
                file.raw(&weight.to_le_bytes());
            }
        }
        file.align();
        file.bytes
    }

    fn metadata(&self, vocabulary: &[String]) -> Vec<(&'static str, Value)> {
        let id = |token: &str| Value::U32(vocabulary.iter().position(|known| known == token).unwrap() as u32);
        let control = |token: &String| if SPECIAL.contains(&token.as_str()) { 3 } else { 1 };
        vec![
            ("general.architecture", Value::text("llama")),
            ("general.name", Value::text("random")),
            ("general.file_type", Value::U32(0)),
            ("llama.context_length", Value::U32(self.context)),
            ("llama.embedding_length", Value::U32(WIDTH as u32)),
            ("llama.block_count", Value::U32(LAYERS as u32)),
            ("llama.feed_forward_length", Value::U32(FEED_FORWARD as u32)),
            ("llama.attention.head_count", Value::U32(HEADS as u32)),
            ("llama.attention.head_count_kv", Value::U32(KV_HEADS as u32)),
            ("llama.attention.layer_norm_rms_epsilon", Value::F32(1e-5)),
            ("llama.rope.dimension_count", Value::U32((WIDTH / HEADS) as u32)),
            ("llama.vocab_size", Value::U32(vocabulary.len() as u32)),
            ("tokenizer.ggml.model", Value::text("gpt2")),
            ("tokenizer.ggml.pre", Value::text("gpt-2")),
            ("tokenizer.ggml.tokens", Value::Texts(vocabulary.to_vec())),
            ("tokenizer.ggml.token_type", Value::I32s(vocabulary.iter().map(control).collect())),
            ("tokenizer.ggml.merges", Value::Texts(MERGES.map(|(a, b)| format!("{a} {b}")).to_vec())),
            ("tokenizer.ggml.bos_token_id", id("<|bos|>")),
            ("tokenizer.ggml.eos_token_id", id("<|im_end|>")),
            ("tokenizer.ggml.padding_token_id", id("<|pad|>")),
            ("tokenizer.ggml.add_bos_token", Value::Bool(true)),
            ("tokenizer.chat_template", Value::text(TEMPLATE)),
        ]
    }

    fn tensors(&self, vocabulary: &[String]) -> Vec<Tensor> {
        let mut noise = Noise(self.seed);
        let mut embedding = noise.matrix("token_embd.weight", WIDTH, vocabulary.len(), 0.05);
        let mut output = noise.matrix("output.weight", WIDTH, vocabulary.len(), 0.2);
        for (index, token) in vocabulary.iter().enumerate() {
            embedding.data[index * WIDTH] = 1.0;
            output.data[index * WIDTH] = self.bias(token);
        }
        let mut tensors = vec![embedding, Tensor::ones("output_norm.weight".to_owned()), output];
        for layer in 0..LAYERS {
            let name = |part: &str| format!("blk.{layer}.{part}.weight");
            let kv_width = WIDTH / HEADS * KV_HEADS;
            tensors.push(Tensor::ones(name("attn_norm")));
            tensors.push(noise.matrix(&name("attn_q"), WIDTH, WIDTH, 0.05));
            tensors.push(noise.matrix(&name("attn_k"), WIDTH, kv_width, 0.05));
            tensors.push(noise.matrix(&name("attn_v"), WIDTH, kv_width, 0.05));
            tensors.push(noise.matrix(&name("attn_output"), WIDTH, WIDTH, 0.05).without_first_row());
            tensors.push(Tensor::ones(name("ffn_norm")));
            tensors.push(noise.matrix(&name("ffn_gate"), WIDTH, FEED_FORWARD, 0.05));
            tensors.push(noise.matrix(&name("ffn_up"), WIDTH, FEED_FORWARD, 0.05));
            tensors.push(noise.matrix(&name("ffn_down"), FEED_FORWARD, WIDTH, 0.05).without_first_row());
        }
        tensors
    }

    /// Inclination to emit a token.
    fn bias(&self, token: &str) -> f32 {
        let printable = token.chars().all(|c| c == 'Ġ' || c.is_ascii_graphic()) && !SPECIAL.contains(&token);
        match self.habit {
            Habit::Bytes if SPECIAL.contains(&token) => -20.0,
            Habit::Bytes => 0.0,
            _ if !printable => -20.0,
            Habit::Endless if token.contains(['"', '}', '\\']) => -20.0,
            Habit::Brief if token == "\"" || token == "}" => 0.35,
            _ => 0.0,
        }
    }
}

/// The 256 bytes as GPT-2 writes them, the merged tokens, the control tokens.
fn vocabulary() -> Vec<String> {
    let mut free = 0x100;
    let letter = |byte: u32| match byte {
        33..=126 | 161..=172 | 174..=255 => char::from_u32(byte),
        _ => {
            free += 1;
            char::from_u32(free - 1)
        }
    };
    let bytes = (0..256).filter_map(letter).map(String::from).collect::<Vec<_>>();
    let merged = MERGES.iter().map(|(a, b)| format!("{a}{b}"));
    bytes.into_iter().chain(merged).chain(SPECIAL.map(str::to_owned)).collect()
}

struct Tensor {
    name: String,
    /// Innermost dimension first, as GGUF has it.
    shape: Vec<usize>,
    data: Vec<f32>,
}

impl Tensor {
    fn ones(name: String) -> Self {
        Self { name, shape: vec![WIDTH], data: vec![1.0; WIDTH] }
    }

    /// Keeps the constant first component of the residual stream as it is.
    fn without_first_row(mut self) -> Self {
        let row = self.shape[0];
        self.data[..row].fill(0.0);
        self
    }
}

/// SplitMix64: Steele, Lea and Flood 2014, "Fast splittable pseudorandom number generators".
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> f32 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) >> 40) as f32 / (1u32 << 24) as f32
    }

    /// Roughly normal: the sum of 12 uniform numbers has variance 1.
    fn matrix(&mut self, name: &str, inner: usize, outer: usize, deviation: f32) -> Tensor {
        let mut normal = || ((0..12).map(|_| self.next()).sum::<f32>() - 6.0) * deviation;
        let data = (0..inner * outer).map(|_| normal()).collect();
        Tensor { name: name.to_owned(), shape: vec![inner, outer], data }
    }
}

enum Value {
    U32(u32),
    F32(f32),
    Bool(bool),
    Text(String),
    Texts(Vec<String>),
    I32s(Vec<i32>),
}

impl Value {
    fn text(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

/// Little-endian bytes.
#[derive(Default)]
struct Writer {
    bytes: Vec<u8>,
}

impl Writer {
    fn raw(&mut self, bytes: &[u8]) -> &mut Self {
        self.bytes.extend_from_slice(bytes);
        self
    }

    fn u32(&mut self, value: u32) -> &mut Self {
        self.raw(&value.to_le_bytes())
    }

    fn u64(&mut self, value: u64) -> &mut Self {
        self.raw(&value.to_le_bytes())
    }

    fn string(&mut self, text: &str) -> &mut Self {
        self.u64(text.len() as u64).raw(text.as_bytes())
    }

    fn array(&mut self, kind: u32, length: usize) -> &mut Self {
        self.u32(9).u32(kind).u64(length as u64)
    }

    fn typed(&mut self, value: &Value) {
        match value {
            Value::U32(value) => self.u32(4).u32(*value),
            Value::F32(value) => self.u32(6).raw(&value.to_le_bytes()),
            Value::Bool(value) => self.u32(7).raw(&[u8::from(*value)]),
            Value::Text(text) => self.u32(8).string(text),
            Value::Texts(texts) => texts.iter().fold(self.array(8, texts.len()), |file, text| file.string(text)),
            Value::I32s(values) => {
                values.iter().fold(self.array(5, values.len()), |file, value| file.raw(&value.to_le_bytes()))
            }
        };
    }

    fn align(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(ALIGNMENT), 0);
    }
}
