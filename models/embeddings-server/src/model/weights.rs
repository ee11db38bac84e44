//! Reading of weights.

use std::collections::HashMap;
use std::io::Cursor;

use candle_core::quantized::gguf_file;
use candle_core::{DType, Device, Tensor, safetensors};
use jangbogo_embedding::registry::{ModelSpec, ModelsDirectory, PACKED_WEIGHTS};

use super::error::ModelError;

/// Tensors by their names.
pub(super) struct Tensors(pub(super) HashMap<String, Tensor>);

impl Tensors {
    /// Reads a model's weights, and dequantises packed ones.
    pub(super) fn read(models: &ModelsDirectory, spec: &ModelSpec) -> Result<Self, ModelError> {
        let file = models.read(spec, spec.weights())?;
        if spec.weights() != PACKED_WEIGHTS {
            return Ok(Self(safetensors::load_buffer(&file, &Device::Cpu)?));
        }
        let mut file = Cursor::new(file);
        let content = gguf_file::Content::read(&mut file)?;
        let unpacked = content.tensor_infos.keys().map(|name| {
            let tensor = content.tensor(&mut file, name, &Device::Cpu)?;
            Ok((name.clone(), tensor.dequantize(&Device::Cpu)?))
        });
        Ok(Self(unpacked.collect::<Result<_, ModelError>>()?))
    }
}

impl jangbogo_bert_int8::Weights for Tensors {
    type Error = ModelError;

    /// Removes the tensor, so that no weight stays in memory twice.
    fn tensor(&mut self, name: &str, shape: &[usize]) -> Result<Vec<f32>, ModelError> {
        let tensor = self.0.remove(name).ok_or_else(|| ModelError::Tensor(format!("{name} is missing")))?;
        if tensor.dims() != shape {
            return Err(ModelError::Tensor(format!("{name} has the shape {:?}, expected {shape:?}", tensor.dims())));
        }
        // Some models have 16-bit floats.
        Ok(tensor.to_dtype(DType::F32)?.flatten_all()?.to_vec1()?)
    }
}
