package jangbogo.nori;

import org.apache.lucene.analysis.Analyzer;
import org.apache.lucene.analysis.ko.KoreanAnalyzer;
import org.elasticsearch.plugin.NamedComponent;
import org.elasticsearch.plugin.analysis.AnalyzerFactory;

/** The "nori" analyzer of the official analysis-nori plugin with its default settings: part-of-speech stop filter, readings, lower case. */
@NamedComponent("nori")
public class NoriAnalyzerFactory implements AnalyzerFactory {
    @Override
    public Analyzer create() {
        return new KoreanAnalyzer();
    }
}
