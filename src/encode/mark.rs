//! The machine-readable mark that a clip or picture is AI-generated.

use ff::Dictionary;
use ffmpeg_next as ff;

/// IPTC's term for a recording that is partly generated
/// (<https://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia>).
pub(crate) const SOURCE_TYPE: &str =
    "http://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia";
/// The `uuid` box that holds XMP (XMP specification, part 3, 1.2.7).
const XMP_UUID: [u8; 16] = 0xBE7A_CFCB_97A9_42E8_9C71_9994_91E3_AFAC_u128.to_be_bytes();
/// The program and its version.
const TOOL: &str = concat!("lipsync ", env!("CARGO_PKG_VERSION"));

/// The mark: states that the mouth was rendered, and by which model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark {
    /// The model's id.
    pub model: String,
}

impl Mark {
    fn statement(&self) -> String {
        format!(
            "AI-generated media: the mouth was rendered by {TOOL} with model {}",
            // Neither tags nor XML allow control characters.
            self.model.replace(char::is_control, " ")
        )
    }

    /// The container's own tags.
    pub(super) fn tags(&self) -> Dictionary<'static> {
        let mut tags = Dictionary::new();
        tags.set("comment", &self.statement());
        tags.set("encoding_tool", TOOL);
        // Only Matroska and WebM write custom tags.
        tags.set("DIGITAL_SOURCE_TYPE", SOURCE_TYPE);
        tags
    }

    /// An XMP packet.
    pub(super) fn xmp(&self) -> String {
        format!(
            "<?xpacket begin=\"\u{feff}\" id=\"W5M0MpCehiHzreSzNTczkc9d\"?>\n\
            <x:xmpmeta xmlns:x=\"adobe:ns:meta/\">\n\
            <rdf:RDF xmlns:rdf=\"http://www.w3.org/1999/02/22-rdf-syntax-ns#\">\n\
            <rdf:Description rdf:about=\"\"\n  \
            xmlns:dc=\"http://purl.org/dc/elements/1.1/\"\n  \
            xmlns:xmp=\"http://ns.adobe.com/xap/1.0/\"\n  \
            xmlns:Iptc4xmpExt=\"http://iptc.org/std/Iptc4xmpExt/2008-02-29/\"\n  \
            xmp:CreatorTool=\"{TOOL}\"\n  \
            Iptc4xmpExt:DigitalSourceType=\"{SOURCE_TYPE}\">\n\
            <dc:description><rdf:Alt><rdf:li xml:lang=\"x-default\">{}</rdf:li></rdf:Alt></dc:description>\n\
            </rdf:Description>\n\
            </rdf:RDF>\n\
            </x:xmpmeta>\n\
            <?xpacket end=\"r\"?>",
            escaped(&self.statement())
        )
    }

    /// The XMP packet in a box of its own, for MP4 and MOV.
    pub(super) fn xmp_box(&self) -> Vec<u8> {
        let xmp = self.xmp();
        let size = (4 + 4 + XMP_UUID.len() + xmp.len()) as u32;
        [&size.to_be_bytes(), b"uuid", &XMP_UUID[..], xmp.as_bytes()].concat()
    }
}

/// Escapes text for XML.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_models_name_cannot_break_the_packet() {
        let mark = Mark {
            model: "a<b>&c\0d".into(),
        };
        assert!(
            mark.xmp()
                .contains("with model a&lt;b&gt;&amp;c d</rdf:li>")
        );
        assert!(mark.tags().get("comment").is_some());
    }

    #[test]
    fn the_box_says_its_length() {
        let mark = Mark {
            model: "ada".into(),
        };
        let bytes = mark.xmp_box();
        assert_eq!(bytes[..4], (bytes.len() as u32).to_be_bytes());
        assert_eq!(&bytes[4..8], b"uuid");
        assert_eq!(&bytes[24..], mark.xmp().as_bytes());
    }
}
