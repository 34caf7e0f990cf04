import java.net.URI;
import javax.net.ssl.HttpsURLConnection;

/** Asks each host, and prints {@code HOST: ok} or why not. */
public class Asking {
  public static void main(String[] hosts) throws Exception {
    for (String host : hosts) {
      System.out.println(host + ": " + ask(host));
    }
  }

  private static String ask(String host) throws Exception {
    HttpsURLConnection connection =
        (HttpsURLConnection) URI.create("https://" + host + "/").toURL().openConnection();
    connection.setConnectTimeout(20000);
    connection.setReadTimeout(20000);
    try {
      connection.getResponseCode();
      return "ok";
    } catch (javax.net.ssl.SSLException error) {
      return error.toString().replace('\n', ' ');
    } finally {
      connection.disconnect();
    }
  }
}
