//! The processors' programs.

use jangbogo_host::app::AppDescriptor;

pub static APPS: &[AppDescriptor] = &[
    AppDescriptor::new::<jangbogo_recommendation::App>(),
    AppDescriptor::new::<jangbogo_analytics::App>(),
    AppDescriptor::new::<jangbogo_es_sync::App>(),
    AppDescriptor::new::<jangbogo_preference_analysis::App>(),
    AppDescriptor::new::<jangbogo_embedder::App>(),
    AppDescriptor::new::<jangbogo_assistant::App>(),
];

/// Finds a program by its processor's name.
pub fn app(name: &str) -> Option<&'static AppDescriptor> {
    APPS.iter().find(|app| app.processor.name == name)
}

#[cfg(test)]
mod tests {
    use jangbogo_processors::PROCESSORS;

    use super::APPS;

    #[test]
    fn every_processor_is_a_program() {
        let programs: Vec<&str> = APPS.iter().map(|app| app.processor.name).collect();
        let registered: Vec<&str> = PROCESSORS.iter().map(|processor| processor.name).collect();
        assert_eq!(programs, registered);
    }
}
