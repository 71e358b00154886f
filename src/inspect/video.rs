//! m
use super::*;
/// m
#[derive(Debug, Serialize)]
pub struct VideoSurvey {}
impl VideoSurvey {
    pub(super) fn of(
        _: &Path,
        _: Media,
        _: Option<&Path>,
        _: &mut Vec<String>,
        _: &Cancel,
    ) -> Result<Self> {
        Ok(Self {})
    }
    pub(super) fn rows(&self) -> Vec<Row> {
        vec![]
    }
    pub(super) fn draw(&self, path: &str, _: &[String], _: &Cancel) -> Result<RgbImage> {
        Ok(crate::draw::Canvas::new(path, "").finish())
    }
}
