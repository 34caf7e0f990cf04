// Prints "ok" or why not for each PORT=HOST that is given: a TLS handshake with 127.0.0.1 under
// that name. Trust comes from the truststore that the JVM was started with.
import java.net.Socket;
import javax.net.ssl.SSLParameters;
import javax.net.ssl.SSLSocket;
import javax.net.ssl.SSLSocketFactory;

class Client {
  public static void main(String[] targets) {
    for (String target : targets) {
      String[] parts = target.split("=", 2);
      System.out.println(shakeHands(Integer.parseInt(parts[0]), parts[1]));
    }
  }

  private static String shakeHands(int port, String host) {
    SSLSocketFactory factory = (SSLSocketFactory) SSLSocketFactory.getDefault();
    try (Socket plain = new Socket("127.0.0.1", port);
        SSLSocket tls = (SSLSocket) factory.createSocket(plain, host, port, true)) {
      SSLParameters parameters = tls.getSSLParameters();
      parameters.setEndpointIdentificationAlgorithm("HTTPS");
      tls.setSSLParameters(parameters);
      tls.startHandshake();
      return "ok";
    } catch (Exception error) {
      return "refused: " + error.toString().replace('\n', ' ');
    }
  }
}
