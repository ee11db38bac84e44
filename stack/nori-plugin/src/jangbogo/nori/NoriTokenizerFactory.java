package jangbogo.nori;

import org.apache.lucene.analysis.Tokenizer;
import org.apache.lucene.analysis.ko.KoreanTokenizer;
import org.elasticsearch.plugin.NamedComponent;
import org.elasticsearch.plugin.analysis.TokenizerFactory;

/** The "nori_tokenizer" of the official analysis-nori plugin with its default settings: compounds are split, punctuation dropped. */
@NamedComponent("nori_tokenizer")
public class NoriTokenizerFactory implements TokenizerFactory {
    @Override
    public Tokenizer create() {
        return new KoreanTokenizer();
    }
}
