//! Declares messages that keep unknown fields: a field that is not declared is written back as it was read.
//!
//! prost encodes and decodes the values, but its derive drops unknown fields. None of the crates that declare the ONNX
//! messages is maintained, complete, built without `protoc`, and keeps unknown fields.

use prost::DecodeError;
use prost::bytes::{Buf, BufMut};
use prost::encoding::{DecodeContext, WireType, encode_key, skip_field};

/// The fields of a message that a newer version of the standard may know: keys and values as they were read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct UnknownFields(Vec<u8>);

impl UnknownFields {
    /// Reads the value of the field `tag`.
    pub(super) fn merge(
        &mut self,
        tag: u32,
        wire_type: WireType,
        buf: &mut impl Buf,
        context: DecodeContext,
    ) -> Result<(), DecodeError> {
        encode_key(tag, wire_type, &mut self.0);
        let bytes = &mut self.0;
        skip_field(wire_type, tag, &mut Recorder { buf, bytes }, context)
    }

    pub(super) fn encode(&self, buf: &mut impl BufMut) {
        buf.put_slice(&self.0);
    }

    pub(super) fn encoded_len(&self) -> usize {
        self.0.len()
    }
}

/// Copies what is read.
struct Recorder<'a, B> {
    buf: &'a mut B,
    bytes: &'a mut Vec<u8>,
}

impl<B: Buf> Buf for Recorder<'_, B> {
    fn remaining(&self) -> usize {
        self.buf.remaining()
    }

    fn chunk(&self) -> &[u8] {
        self.buf.chunk()
    }

    fn advance(&mut self, count: usize) {
        self.bytes.put(self.buf.take(count));
    }
}

/// Whether a field need not be written.
pub(super) fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// Declares messages, each field as `tag name: coding count Type`, in rising order of tags.
///
/// `coding` is one of the modules of `prost::encoding`; `count` is `one` (left out where it is the type's default),
/// `optional`, `repeated` or `packed`.
macro_rules! messages {
    ($($(#[$doc:meta])* $message:ident {
        $($tag:literal $field:ident: $coding:ident $count:ident $type:ty,)*
    })*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Default, PartialEq)]
        #[allow(clippy::struct_field_names, reason = "the standard's names")]
        pub(crate) struct $message {
            $(pub(crate) $field: $type,)*
            pub(crate) unknown: message::UnknownFields,
        }

        impl prost::Message for $message {
            fn encode_raw(&self, buf: &mut impl prost::bytes::BufMut) {
                $(field!($coding $count encode($tag, &self.$field, buf));)*
                self.unknown.encode(buf);
            }

            fn merge_field(
                &mut self,
                tag: u32,
                wire_type: prost::encoding::WireType,
                buf: &mut impl prost::bytes::Buf,
                context: prost::encoding::DecodeContext,
            ) -> Result<(), prost::DecodeError> {
                match tag {
                    $($tag => field!($coding $count merge(wire_type, &mut self.$field, buf, context)),)*
                    _ => self.unknown.merge(tag, wire_type, buf, context),
                }
            }

            fn encoded_len(&self) -> usize {
                let fields = [$(field!($coding $count len($tag, &self.$field))),*];
                fields.iter().sum::<usize>() + self.unknown.encoded_len()
            }

            fn clear(&mut self) {
                *self = Self::default();
            }
        }
    )*};
}

/// What `messages` does with one field.
macro_rules! field {
    ($coding:ident one encode($tag:literal, $value:expr, $buf:expr)) => {
        if !message::is_default($value) {
            prost::encoding::$coding::encode($tag, $value, $buf);
        }
    };
    ($coding:ident one merge($wire_type:expr, $value:expr, $buf:expr, $context:expr)) => {
        prost::encoding::$coding::merge($wire_type, $value, $buf, $context)
    };
    ($coding:ident one len($tag:literal, $value:expr)) => {
        if message::is_default($value) {
            0
        } else {
            prost::encoding::$coding::encoded_len($tag, $value)
        }
    };
    ($coding:ident optional encode($tag:literal, $value:expr, $buf:expr)) => {
        if let Some(value) = $value {
            prost::encoding::$coding::encode($tag, value, $buf);
        }
    };
    ($coding:ident optional merge($wire_type:expr, $value:expr, $buf:expr, $context:expr)) => {{
        let value = $value.get_or_insert_default();
        prost::encoding::$coding::merge($wire_type, value, $buf, $context)
    }};
    ($coding:ident optional len($tag:literal, $value:expr)) => {
        $value.as_ref().map_or(0, |value| {
            prost::encoding::$coding::encoded_len($tag, value)
        })
    };
    ($coding:ident repeated encode($tag:literal, $value:expr, $buf:expr)) => {
        prost::encoding::$coding::encode_repeated($tag, $value, $buf)
    };
    ($coding:ident repeated len($tag:literal, $value:expr)) => {
        prost::encoding::$coding::encoded_len_repeated($tag, $value)
    };
    ($coding:ident packed encode($tag:literal, $value:expr, $buf:expr)) => {
        prost::encoding::$coding::encode_packed($tag, $value, $buf)
    };
    ($coding:ident packed len($tag:literal, $value:expr)) => {
        prost::encoding::$coding::encoded_len_packed($tag, $value)
    };
    // Numbers are read both ways, whichever is declared.
    ($coding:ident $many:ident merge($wire_type:expr, $value:expr, $buf:expr, $context:expr)) => {
        prost::encoding::$coding::merge_repeated($wire_type, $value, $buf, $context)
    };
}

pub(super) use {field, messages};
