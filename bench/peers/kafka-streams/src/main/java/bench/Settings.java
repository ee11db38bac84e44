package bench;

import java.net.URI;
import java.util.List;

/** Settings from the benchmark's environment variables. */
record Settings(String kafka, String jdbcUrl, String user, String password, String schema, String group,
        String stateFolder, List<String> topics, int threads) {

    static Settings fromEnvironment() {
        URI postgres = URI.create(required("POSTGRES_URL"));
        String[] login = postgres.getUserInfo() == null ? new String[] {""} : postgres.getUserInfo().split(":", 2);
        String url = "jdbc:postgresql://" + postgres.getHost() + ":" + postgres.getPort() + "/"
                + required("PEER_DATABASE") + "?reWriteBatchedInserts=true&currentSchema=" + required("PEER_SCHEMA");
        String namespace = required("JANGBOGO_NAMESPACE");
        List<String> topics = List.of(namespace + ".order-completed", namespace + ".user-behavior");
        String threads = System.getenv().getOrDefault("PEER_THREADS", "4");
        return new Settings(required("KAFKA_BOOTSTRAP_SERVERS"), url, login[0], login.length > 1 ? login[1] : "",
                required("PEER_SCHEMA"), required("PEER_GROUP"), required("PEER_STATE"), topics,
                Integer.parseInt(threads));
    }

    private static String required(String name) {
        String value = System.getenv(name);
        if (value == null) {
            throw new IllegalStateException(name + " is not set; run the peer by `bench rebuild`");
        }
        return value;
    }
}
