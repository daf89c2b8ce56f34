<?php
// Notes every request that PHP was given whole, as a line of JSON in the file beside it.
$text = fn($bytes) => iconv('ISO-8859-1', 'UTF-8', (string) $bytes);
$fields = [];
$given = array_filter($_SERVER, fn($name) => preg_match('/^(HTTP|CONTENT)_/', $name), ARRAY_FILTER_USE_KEY);
foreach ($given as $name => $value) {
    $fields[$text($name)] = $text($value);
}
$body = file_get_contents('php://input');
$length = $_SERVER['CONTENT_LENGTH'] ?? '';
if ($length === '' || (int) $length === strlen($body)) { // a body that broke off is no request
    $seen = ['method' => $_SERVER['REQUEST_METHOD'], 'target' => $text($_SERVER['REQUEST_URI']), 'fields' => $fields, 'body' => $text($body)];
    $line = json_encode($seen, JSON_FORCE_OBJECT | JSON_UNESCAPED_SLASHES) . "\n";
    file_put_contents(__DIR__ . '/parsed.log', $line, FILE_APPEND | LOCK_EX);
}
header('X-Served: yes');
header('Content-Length: 3');
echo "ok\n";
