// What of S3 nginx doesn't do by itself: listings, and the time that a request takes.
// A bucket's listing is a file: [[key, size, etag, time], ...], sorted by key.
import fs from 'fs';

function escaped(text) {
  return text.replace(/&/g, '&amp;').replace(/</g, '&lt;').replace(/>/g, '&gt;');
}

function list(r) {
  if (r.method === 'HEAD') {
    r.return(200);
    return;
  }
  const bucket = r.variables.request_uri.split('?')[0].split('/')[1];
  const prefix = r.args['prefix'] || '';
  const delimiter = r.args['delimiter'] || '';
  const after = r.args['continuation-token'] || r.args['start-after'] || r.args['marker'] || '';
  const most = Math.min(Number(r.args['max-keys'] || 1000), 1000);
  const all = JSON.parse(fs.readFileSync(r.variables.listings + '/' + bucket + '.json'));
  const common = {};
  let objects = '';
  let count = 0;
  let last = '';
  let truncated = false;
  for (let i = 0; i < all.length; i++) {
    const key = all[i][0];
    if (key <= after || !key.startsWith(prefix)) {
      continue;
    }
    const end = delimiter ? key.indexOf(delimiter, prefix.length) : -1;
    if (end >= 0 && common[key.substring(0, end + 1)]) {
      last = key;
      continue;
    }
    if (count === most) {
      truncated = true;
      break;
    }
    count++;
    last = key;
    if (end >= 0) {
      common[key.substring(0, end + 1)] = true;
      continue;
    }
    objects += '<Contents><Key>' + escaped(key) + '</Key><LastModified>' + all[i][3] + '</LastModified><ETag>&quot;' +
      all[i][2] + '&quot;</ETag><Size>' + all[i][1] + '</Size><StorageClass>STANDARD</StorageClass></Contents>';
  }
  Object.keys(common).forEach(function (one) {
    objects += '<CommonPrefixes><Prefix>' + escaped(one) + '</Prefix></CommonPrefixes>';
  });
  r.headersOut['Content-Type'] = 'application/xml';
  r.return(200, '<?xml version="1.0" encoding="UTF-8"?>' +
    '<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Name>' + bucket + '</Name><Prefix>' +
    escaped(prefix) + '</Prefix><MaxKeys>' + most + '</MaxKeys><KeyCount>' + count + '</KeyCount><IsTruncated>' +
    truncated + '</IsTruncated>' +
    (truncated ? '<NextContinuationToken>' + escaped(last) + '</NextContinuationToken>' : '') +
    // Of the first version of listings, which some clients still use.
    (truncated ? '<NextMarker>' + escaped(last) + '</NextMarker>' : '') +
    objects + '</ListBucketResult>');
}

function late(r) {
  setTimeout(function () { r.internalRedirect('@serve'); }, Number(r.variables.delay_milliseconds));
}

export default { list, late };
